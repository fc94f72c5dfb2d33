import { expect, test } from 'vitest';
import { isMissing, verify, why, type Run } from './spin.ts';

/** Some of them are found only in a later part of all states. */
const DEADLINE_MS = 120_000;

const CLUSTER: Run = { scope: ['RELAY', 'FOLDERS=1'], claim: 'acked_is_stored' };
const FOLDS: Run = { scope: ['FOLDERS=2'], claim: 'acked_is_stored' };
const OPERATOR: Run = { scope: ['FOLDERS=1', 'OPERATOR'], claim: 'acked_is_stored' };
const LIVENESS: Run = { scope: ['RELAY', 'LIVENESS'], claim: 'edits_are_acked', isLiveness: true };

test.skipIf(isMissing).each([
  ['ack_before_commit', CLUSTER, 'ack_is_committed'],
  ['failed_batch_dropped', CLUSTER, 'ack_is_committed'],
  ['own_rows_only', CLUSTER, 'ack_is_committed'],
  ['timed_out_is_committed', CLUSTER, 'ack_is_committed'],
  ['name_used_again', CLUSTER, 'ack_is_committed'],
  ['repair_by_own_number', CLUSTER, 'ack_is_committed'],
  ['refused_and_acked', CLUSTER, 'ack_is_committed'],
  ['refused_and_kept', CLUSTER, 'ack_is_committed'],
  ['refused_and_confirmed', CLUSTER, 'ack_is_committed'],
  ['unloaded_while_waiting', CLUSTER, 'memory_has_committed'],
  ['exit_while_waiting', CLUSTER, 'exit_leaves_nothing'],
  ['loaded_in_two_reads', FOLDS, 'load_gives_acked'],
  ['whole_tail_deleted', FOLDS, 'fold_changes_nothing'],
  ['tail_deleted_up_to', FOLDS, 'fold_changes_nothing'],
  ['snapshot_not_compared', FOLDS, 'fold_changes_nothing'],
  ['fold_not_locked', FOLDS, 'fold_changes_nothing'],
  ['deleted_first', FOLDS, 'fold_changes_nothing'],
  ['memory_written', FOLDS, 'fold_changes_nothing'],
  ['set_aside_taken_in', OPERATOR, 'fold_changes_nothing'],
  ['never_taken_over', LIVENESS, 'edits_are_acked'],
])(
  `[V3] the model catches a mistake: %s${why}`,
  async (mistake, { scope, ...run }, invariant) => {
    const verdict = await verify({ ...run, scope: [...scope, `MUTANT=${mistake}`] }, true);
    expect(verdict.violated).toBe(invariant);
  },
  DEADLINE_MS,
);

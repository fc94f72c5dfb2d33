/*
 * The promise as a model: an acknowledged edit is committed, whatever crashes. One document; two clients with an edit
 * each; two instances, which crash and start again without end; one Postgres; a relay that loses what it likes.
 * README.md says what is checked, and what is left out.
 *
 * A set of edits is a byte with a bit for each. Where the code has numbers the model has sets, which do not grow:
 * "committed up to number n" says of each row of an instance whether it still waits.
 *
 * Scopes: -DRELAY, -DFOLDERS=1 or 2 (instances that fold), -DOPERATOR, -DLIVENESS (faults end some day).
 */
#ifndef MUTANT
#define MUTANT none
#endif
/* Whether the model is to make a mistake: `-DMUTANT=own_rows_only`. */
#define is(mistake) (MUTANT == mistake)
mtype = {
  none, ack_before_commit, failed_batch_dropped, own_rows_only, timed_out_is_committed, never_taken_over,
  name_used_again, repair_by_own_number, refused_and_acked, refused_and_kept, refused_and_confirmed,
  unloaded_while_waiting, exit_while_waiting, loaded_in_two_reads, whole_tail_deleted, tail_deleted_up_to,
  snapshot_not_compared, fold_not_locked, deleted_first, memory_written, set_aside_taken_in
};

#define NOWHERE 2
#define BOTH 3
#define edit(c) (1 << (c))
#define other(i) (1 - (i))
#define without(set, those) ((set) & ~(those))

/* Postgres: indelible.snapshots, and indelible.updates without and with `quarantined`. */
byte snapshot, rows, aside;
#define loadable (snapshot | rows)
#define isStored(edits) (without(edits, loadable | aside) == 0)

/* What clients have been told is committed. */
byte acked;

/* An instance, and its document in memory; a spoilt one is to be rebuilt (OpenDocument.isSpoilt). */
bool up[2], spoilt[2];
byte memory[2];
/* UpdateLog: rows that wait, and rows in the statement that is on its way. */
byte queue[2], batch[2];
#define isWaiting(i) (queue[i] | batch[i])
/* Edits from the relay that are not known to be committed, and whether nobody is left who could confirm them. */
byte relayed[2];
bool stranded[2];

/* A client: the instance it is connected to; whether that owes it an ack, and what the document held at its frame. */
byte at[2] = NOWHERE;
bool owed[2];
byte held[2];

/* DocumentStore.fold: the rows that it has read, and their merge. Who is replacing holds the lock. */
mtype = { idle, merging, replacing };
mtype phase[2] = idle;
byte tail[2], merged[2];
#define isLocked (phase[0] == replacing || phase[1] == replacing)

/* Whether the relay delivers at the moment, and whether faults are over. */
bool redis, calm;

/* Not part of a state: what a step works with, and the names under which Spin reports a violation. */
hidden byte news, before;
hidden byte ack_is_committed, load_gives_acked, fold_changes_nothing, exit_leaves_nothing, memory_has_committed;
#define check(name, condition) name = (condition); assert(name)
/* How a step begins. Spin reports the assertion when it is never reached. */
#define when(condition) (condition) -> assert(true)

/* Acks.settle: an ack is due when nothing waits any more that the document held when the frame was handled. */
#define unsettled(i) ((is(ack_before_commit) -> queue[i] : isWaiting(i)) | (is(own_rows_only) -> 0 : relayed[i]))
inline sendAck(i, c) {
  if
  :: at[c] == i && owed[c] && !(held[c] & unsettled(i)) ->
    check(ack_is_committed, isStored(held[c]));
    acked = acked | held[c];
    owed[c] = false; held[c] = 0
  :: else
  fi
}
inline settle(i) { sendAck(i, 0); sendAck(i, 1) }

/* What stays unconfirmed its holder writes itself. */
inline takeOver(i) {
  queue[i] = queue[i] | (is(timed_out_is_committed) -> 0 : relayed[i]);
  relayed[i] = 0; stranded[i] = false
}

/* A message to the other instance: some edits, and which rows of the sender are committed: those that do not wait. */
inline relay(i, edits) {
  if
  :: redis && up[other(i)] && !spoilt[other(i)] ->
    if
    :: stranded[other(i)] -> takeOver(other(i))
    :: else
    fi;
    news = without(edits, memory[other(i)]);
    memory[other(i)] = memory[other(i)] | news;
    relayed[other(i)] = (relayed[other(i)] | news) & isWaiting(i);
    settle(other(i))
  :: else
  fi
}

/* DocumentConnection.#receiveEdit, in one turn: apply, append, relay; owe an ack, also for what is known already. */
inline receiveEdit(c, i) {
  if
  :: !(memory[i] & edit(c)) ->
    memory[i] = memory[i] | edit(c);
    queue[i] = queue[i] | edit(c);
    relay(i, edit(c))
  :: else
  fi;
  owed[c] = true; held[c] = memory[i];
  settle(i)
}

/* The line to a client breaks: what it was owed is forgotten (Hub.forget). */
inline leave(c) { at[c] = NOWHERE; owed[c] = false; held[c] = 0 }
inline leaveAll(i) {
  if :: at[0] == i -> leave(0) :: else fi;
  if :: at[1] == i -> leave(1) :: else fi
}

/* What this instance has relayed and not confirmed it never will: it has another name from now on. */
inline rename(i, mistake) { stranded[other(i)] = (relayed[other(i)] && !is(mistake)) }

/* DocumentStore.read and Hub.#load. (The mistake: the other's fold commits between two reads.) */
inline load(i) {
  memory[i] = snapshot | without(rows,
    (is(loaded_in_two_reads) && phase[other(i)] == replacing -> tail[other(i)] : 0));
  spoilt[i] = false; relayed[i] = 0; stranded[i] = false;
  check(load_gives_acked, without(acked, memory[i] | aside) == 0)
}

inline endFold(i) { phase[i] = idle; tail[i] = 0; merged[i] = 0 }

/* The process ends; Postgres rolls its transaction back. */
inline end(i) {
  leaveAll(i); endFold(i); rename(i, name_used_again);
  up[i] = false; spoilt[i] = false; memory[i] = 0; queue[i] = 0; batch[i] = 0; relayed[i] = 0; stranded[i] = false
}

/* UpdateLog.#commitBatch. */
proctype Log(byte i) {
  do
  :: atomic { when(queue[i] && !batch[i]); /* #nextBatch takes everything that waits */
      batch[i] = queue[i]; queue[i] = 0;
      settle(i) }
  :: atomic { when(batch[i]); /* #settle */
      rows = rows | batch[i];
      check(memory_has_committed, spoilt[i] || without(batch[i], memory[i]) == 0);
      batch[i] = 0;
      relay(i, 0);
      settle(i) }
  :: atomic { when(!calm && without(batch[i], rows)); /* committed, but the answer is lost: it is tried again */
      rows = rows | batch[i];
      if :: is(failed_batch_dropped) -> batch[i] = 0 :: else fi }
  :: atomic { when(!calm && batch[i]); /* nothing is committed: likewise */
      if :: is(failed_batch_dropped) -> batch[i] = 0 :: else fi }
  :: atomic { when(!calm && batch[i]); /* Postgres refuses the rows: Hub.refused, Hub.rebuild */
      batch[i] = 0;
      spoilt[i] = !is(refused_and_kept);
      rename(i, refused_and_confirmed);
      if :: is(refused_and_acked) -> settle(i) :: else -> leaveAll(i) fi }
  od
}

/* 500 ms without a confirmation. */
proctype Holder(byte i) {
  do
  :: atomic { when(relayed[i] && !is(never_taken_over)); takeOver(i); settle(i) }
  od
}

/* The answer to the other's state vector. It is confirmed as rows of the sender, so all of it must be that. */
proctype Repair(byte i) {
  do
  :: atomic { when(redis && up[0] && up[1] && !spoilt[0] && !spoilt[1] && without(memory[i], memory[other(i)]));
      if :: is(repair_by_own_number) :: else -> takeOver(i) fi;
      relay(i, memory[i]) }
  od
}

/* DocumentStore.fold: read, merge, and replaceSnapshot. It ends where the code would find that it came too late. */
proctype Fold(byte i) {
  do
  :: atomic { when(phase[i] == idle && up[i] && rows); /* (the mistake: rows on their way have lower ids already) */
      tail[i] = rows | (is(tail_deleted_up_to) -> batch[0] | batch[1] : 0);
      merged[i] = loadable; phase[i] = merging }
  :: atomic { when(phase[i] == merging && (!isLocked || is(fold_not_locked))); phase[i] = replacing }
  :: atomic { when(phase[i] == replacing);
      before = loadable;
      snapshot = (is(memory_written) -> memory[i] : (is(deleted_first) -> snapshot : merged[i]));
      rows = without(rows, (is(whole_tail_deleted) -> BOTH : tail[i]));
      check(fold_changes_nothing, loadable == before);
      if :: phase[other(i)] == merging && !is(snapshot_not_compared) -> endFold(other(i)) :: else fi;
      endFold(i) }
  od
}

/* `indelible quarantine`, once, which takes the lock too. */
proctype Operator() {
  atomic { when(!isLocked && (without(rows, snapshot) & edit(0)));
    rows = without(rows, edit(0)); aside = edit(0);
    if :: (tail[0] & edit(0)) && !is(set_aside_taken_in) -> endFold(0) :: else fi;
    if :: (tail[1] & edit(0)) && !is(set_aside_taken_in) -> endFold(1) :: else fi }
}

/* Starting; unloading ([D1]) and loading anew, where that changes something; a graceful exit ([R1]). */
#define isDone(i, mistake) (up[i] && at[0] != i && at[1] != i && (!isWaiting(i) || is(mistake)))
proctype Process(byte i) {
  do
  :: atomic { when(!up[i]); up[i] = true; load(i) }
  :: atomic { when(isDone(i, unloaded_while_waiting) && (spoilt[i] || memory[i] != loadable)); load(i) }
  :: atomic { when(isDone(i, exit_while_waiting) && !spoilt[i] && !calm);
      check(exit_leaves_nothing, isStored(without(memory[i], relayed[i])));
      end(i) }
  od
}

/* Offers its edit when it connects, here or there, and again and again, as a step 2 does. */
proctype Client(byte c) {
  do
  :: atomic { when(at[c] == NOWHERE && up[0] && !spoilt[0]); at[c] = 0; receiveEdit(c, 0) }
  :: atomic { when(at[c] == NOWHERE && up[1] && !spoilt[1]); at[c] = 1; receiveEdit(c, 1) }
  :: atomic { when(at[c] == 0 && !owed[c]); receiveEdit(c, 0) }
  :: atomic { when(at[c] == 1 && !owed[c]); receiveEdit(c, 1) }
  od
}

proctype Faults() {
  do
  :: atomic { when(up[0]); end(0) }
  :: atomic { when(up[1]); end(1) }
  :: atomic { when(at[0] != NOWHERE); leave(0) }
  :: atomic { when(at[1] != NOWHERE); leave(1) }
#ifdef RELAY
  :: redis = !redis
#endif
#ifdef LIVENESS
  :: calm = true; break
#endif
  od
}

init {
  atomic {
    run Process(0); run Process(1); run Log(0); run Log(1); run Client(0); run Client(1); run Faults();
#ifdef RELAY
    run Holder(0); run Holder(1); run Repair(0); run Repair(1);
#endif
#ifdef FOLDERS
    run Fold(0);
    if :: FOLDERS == 2 -> run Fold(1) :: else fi;
#endif
#ifdef OPERATOR
    run Operator()
#endif
  }
}

ltl acked_is_stored { [] isStored(acked) }
/* Of the clients one will do, since they are alike. */
ltl edits_are_acked { (<> calm) -> ((<> (acked == BOTH)) && ([] <> !owed[0])) }

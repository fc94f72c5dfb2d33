import type { Saves } from '../../server/browser.ts';
import { countEdits, edits } from './edits.ts';
import type { Absence, LineState, Refusal } from './line.ts';
import type { KnownAccess } from './permission.ts';

/** How it stands with a document, in words. */
export interface Standing {
  readonly tone: 'good' | 'busy' | 'bad';
  /** Of the line to the server. */
  readonly line: string;
  /** Of our edits. */
  readonly saves: string;
  /** What it means and what to do, where that is more than the words above say. */
  readonly notice: string;
}

/** What the words are about. */
interface Facts {
  readonly line: LineState;
  readonly saves: Saves;
  readonly access: KnownAccess;
  /** This browser keeps the document. */
  readonly isKept: boolean;
}

const absences: Record<Absence, { readonly line: string; readonly notice: string }> = {
  offline: { line: 'Offline', notice: 'You are offline.' },
  unreachable: { line: 'No connection', notice: 'The server does not answer.' },
  restarting: { line: 'Server restarting…', notice: 'The server is restarting.' },
  unavailable: { line: 'Server busy', notice: 'The server cannot serve this document for now.' },
};

const refusals: Record<Refusal, string> = {
  'no access': 'No access',
  deleted: 'Deleted',
  'too large': 'Too large',
};

const reasons: Record<string, string> = {
  unauthorized: 'This server asks for a link with a token, and did not take yours.',
  token_expired: 'Your link has expired. Ask for a new one.',
  forbidden: 'Your link is not for this document.',
  revoked: 'Your access was taken back.',
  forbidden_origin: 'The server takes no connections from this page.',
  bad_name: 'A document cannot have this name.',
  document_deleted: 'This document has been deleted.',
  document_too_large: 'With your edits the document is too large for the server.',
  frame_too_large: 'Your edits are more at once than the server takes.',
};

/** Puts into words how it stands. */
export function describe(facts: Facts): Standing {
  const { line, saves } = facts;
  if (line.kind === 'refused') return refused(line, facts);
  if (line.kind === 'away') return away(line.why, facts);
  if (line.kind === 'connecting') {
    return { tone: 'busy', line: 'Connecting…', saves: waiting(saves), notice: '' };
  }
  if (facts.access === 'unknown') return asking(saves);
  return facts.access === 'read' ? reading(saves) : online(saves);
}

function refused({ why, code }: Extract<LineState, { kind: 'refused' }>, { saves, isKept }: Facts): Standing {
  const isUnsaved = edits(saves) > 0;
  const copy = isKept ? ' What you see is the copy in this browser.' : '';
  const unsaved = isUnsaved ? ' Copy what you wrote before you leave.' : '';
  const advice: Record<Refusal, string> = {
    'no access': `${copy}${unsaved}`,
    deleted: ` What you see is the copy in this ${isKept ? 'browser' : 'tab'}. Discard it to open whatever has this name now. If the document has been restored, try again: what you see is merged into it.`,
    'too large':
      ' None of them is saved until they are less: delete some of what you wrote and try again, or discard it.',
  };
  return {
    tone: 'bad',
    line: refusals[why],
    saves: isUnsaved ? `${countEdits(saves)} not saved` : '',
    notice: `${reasons[code] ?? `The server has closed this document (${code}).`}${advice[why]}`,
  };
}

function away(why: Absence, { saves, access, isKept }: Facts): Standing {
  const { line, notice } = absences[why];
  const place = isKept ? 'in this browser' : 'in this tab, so leave it open,';
  const advice: Record<KnownAccess, string> = {
    read: 'You see the text as it was last.',
    unknown: 'Whether you may write here is known when the line is back.',
    write: `Keep writing: it is kept ${place} and saved when the line is back.`,
  };
  return { tone: 'bad', line, saves: waiting(saves), notice: `${notice} ${advice[access]}` };
}

function asking(saves: Saves): Standing {
  const words = saves.state === 'syncing' ? 'Loading…' : 'Asking whether you may write…';
  return { tone: 'busy', line: 'Online', saves: words, notice: '' };
}

function reading(saves: Saves): Standing {
  const isCurrent = saves.state === 'saved' || saves.state === 'refused';
  return {
    tone: isCurrent ? 'good' : 'busy',
    line: 'Read-only',
    saves: edits(saves) > 0 ? `${countEdits(saves)} not saved` : isCurrent ? 'Up to date' : 'Loading…',
    notice: 'This link is for reading. You see what others write as they write it.',
  };
}

function online(saves: Saves): Standing {
  const tone = saves.state === 'saved' ? 'good' : saves.state === 'refused' ? 'bad' : 'busy';
  return {
    tone,
    line: 'Online',
    saves: onlineSaves(saves),
    notice:
      saves.state === 'refused'
        ? 'The server did not take everything that you wrote. Copy it before you leave.'
        : '',
  };
}

function onlineSaves(saves: Saves): string {
  if (saves.state === 'saved') return 'All changes saved';
  if (saves.state === 'saving') return saves.unsaved === 0 ? 'Saving…' : `Saving ${countEdits(saves)}…`;
  if (saves.state === 'refused') return `${countEdits(saves)} not saved`;
  return saves.unsaved === 0 ? 'Loading…' : `Syncing ${countEdits(saves)}…`;
}

function waiting(saves: Saves): string {
  return edits(saves) === 0 ? '' : `${countEdits(saves)} not saved yet`;
}

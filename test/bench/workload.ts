import type { DocumentKind } from './documents.ts';

/** People in documents that are alike, and what they do there. */
export interface Crowd {
  /** Where there are several. */
  name?: string;
  documents: number;
  /** In each document. */
  people: number;
  /** What each document holds before; nothing when left out. */
  content?: DocumentKind;
  /** So many of those in a document type; one does where there is a rate and nothing is said. */
  writers?: number;
  /** Edits a second of each writer. */
  rate?: number;
  /** So many edits are sent at once, in the place of each one. */
  burst?: number;
  /** So many of those in a document move a cursor. */
  movers?: number;
  /** Moves a second of each mover. */
  moves?: number;
  /** They come when it is measured, all at once, and do the rest when they are in. */
  isLate?: boolean;
}

/** What a server has to bear. */
export interface Workload {
  /** Each has a process of its own, so that none waits for what another one reads. */
  crowds: readonly Crowd[];
  /** How long it is measured. */
  seconds: number;
  /** What comes before, and does not count: code is compiled. With another rate, everybody who types has this one. */
  warmUp?: { seconds: number; rate?: number };
  /** How the server ends, and is started again, when the documents hold what they are to hold and nobody is in. */
  restart?: 'SIGTERM' | 'SIGKILL';
  /** The one document has nothing folded by then. */
  isUnfolded?: true;
  /** The people of each crowd are spread over so many processes, each with documents of its own. */
  processes?: number;
}

const WARM_UP = { seconds: 3 };

export function warmUpOf({ warmUp = WARM_UP }: Omit<Workload, 'crowds'>): { seconds: number; rate?: number } {
  return warmUp;
}

/** How many edits each writer of a crowd sends in all. */
export function editsOf(crowd: Crowd, workload: Omit<Workload, 'crowds'>): number {
  const { rate = 0, burst = 1, isLate = false } = crowd;
  const warmUp = warmUpOf(workload);
  const before = isLate ? 0 : Math.ceil((warmUp.rate ?? rate) * warmUp.seconds);
  return (before + Math.ceil(rate * workload.seconds)) * burst;
}

export function writersOf({ rate = 0, writers = 1 }: Crowd): number {
  return rate === 0 ? 0 : writers;
}

export function connectionsOf({ crowds }: Workload): number {
  return crowds.reduce((sum, { documents, people }) => sum + documents * people, 0);
}

const SMOKE_DOCUMENTS = 10;
const SMOKE_PEOPLE = 20;

/** The same kind of work, as much as a second takes that is not measured. */
export function smokeOf(workload: Workload): Workload {
  return {
    ...workload,
    crowds: workload.crowds.map(fewOf),
    seconds: Math.min(workload.seconds, 1),
    warmUp: { seconds: 0 },
  };
}

function fewOf(crowd: Crowd): Crowd {
  const people = Math.min(crowd.people, SMOKE_PEOPLE);
  const few: Crowd = { ...crowd, documents: Math.min(crowd.documents, SMOKE_DOCUMENTS), people };
  if (crowd.content === 'paper') few.content = 'page';
  if (crowd.content === 'book') few.content = 'article';
  if (crowd.movers !== undefined) few.movers = Math.min(crowd.movers, people);
  return few;
}

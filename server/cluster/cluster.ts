/** A place in the update log of an instance. */
export interface LogPosition {
  /**
   * One life of an update log: its instance, which has another name with each start; the history that its database wrote; and how
   * often Postgres has refused a batch of it, since numbers move past what was refused. A number of one life says nothing of another.
   */
  readonly log: string;
  /** What has this number in it, or a lower one, is committed once the log has committed up to here. */
  readonly sequence: number;
}

/** What an instance has of a document that another one lacks. */
export interface Answer {
  /** Blank when it arrives if it was too large to be told: it is in the database, or will be. */
  readonly update: Uint8Array;
  /** All of it, what others brought too, is committed when the log of this instance has committed up to here. */
  readonly sequence: number;
  /** Everybody who is connected to this instance. */
  readonly presence: Uint8Array;
  /** Of what is in `update`, whose it is and what is to be written with it, as for {@link Cluster.relay}; mostly blank. */
  readonly pending: string;
}

/**
 * Why an instance asks. It is opening the document, and has said nothing of it before (`joining`), or something has not arrived
 * (`comparing`): everybody answers. It could not be reached for a while (`returning`), or just wants to be sure (`checking`): who has more
 * answers.
 */
export const PURPOSES = ['joining', 'comparing', 'returning', 'checking'] as const;
export type Purpose = (typeof PURPOSES)[number];

/** Says of these people what is to be said of them when it is called: an awareness update, and whose ids they are. */
export type EncodePeople = (clients: number[]) => Uint8Array | null;

/** Whose connections are meant: everybody's to a document, all of a user, or those of one user to one document. */
export interface ConnectionsOf {
  readonly document?: string | undefined;
  readonly user?: string | undefined;
}

/** Somebody who is connected to a document. */
export interface ConnectionInfo {
  /** Who they are by their token; `null` when nobody was asked. */
  readonly user: string | null;
  readonly access: 'read' | 'write' | 'admin';
  readonly protocol: 'y-websocket' | 'hocuspocus';
  /** What they say of themselves, mostly one state: their name, their cursor. */
  readonly presence: readonly unknown[];
}

/** A document that was deleted, or has another name now. */
export interface Deletion {
  /** Its name before. */
  readonly document: string;
  readonly id: string;
  /** Its name now, if it has one. */
  readonly to?: string | undefined;
}

/** What other instances say. Called synchronously; must not throw. */
export interface ClusterEvents {
  /** An update of a document, with what {@link Cluster.relay} was given of it. */
  updated(document: string, update: Uint8Array, position: LogPosition, attribution: string): void;
  /**
   * An instance asks for what it lacks.
   * @returns `null` when this instance has nothing to say
   */
  asked(document: string, stateVector: Uint8Array, purpose: Purpose): Answer | null;
  /** What `presence` says is all of that instance. */
  answered(document: string, answer: Answer, position: LogPosition, instance: string): void;
  /** What an instance says of some who are connected to it, or were until now. */
  presence(document: string, presence: Uint8Array, instance: string): void;
  /** What an instance has said of a document did not all arrive; `closedBy` it, if it does not have it open any more. */
  missed(document: string, closedBy: string | null): void;
  /** Something was committed to a document, and is said nowhere else. */
  stored(document: string): void;
  /** The log of another instance has committed up to there, in the history that the database of this one writes. */
  committed(position: LogPosition): void;
  /** Rows of a document were set aside by another instance, since they are damaged. */
  damaged(document: string): void;
  /** An instance has ended, or has not been heard of for too long. */
  left(instance: string): void;
  /** An instance that was taken for ended is there, and may have taken this one for that, too. */
  returned(instance: string): void;
  /** Messages may have been lost, in both directions: what is open should be compared. */
  reconnected(): void;
  /** Access was taken back at another instance, which has stored that. */
  revoked(): void;
  /** A document was deleted, or renamed, at another instance, which has stored that. */
  deleted(deletion: Deletion): void;
  /** Who is connected to a document here. */
  connectionsTo(document: string): readonly ConnectionInfo[];
  /** Connections should be closed, whose clients may come back. */
  disconnected(whose: ConnectionsOf): void;
}

/**
 * What instances on one database tell each other, so that people on different ones edit as if on one. Nothing that is
 * acknowledged depends on it: messages may be lost, and it may be away for ever. No method throws or rejects.
 */
export interface Cluster {
  /** Calls these from now on. To be called once, before anything else. */
  listen(events: ClusterEvents): void;
  /** The name of this instance, another one with each start. */
  readonly instance: string;
  /** Whether the others can be reached. */
  readonly isThere: boolean;
  /** Whether another instance has been heard of lately. */
  hears(instance: string): boolean;
  /** Hears of a document from now on. */
  join(document: string): void;
  /** Hears no more of a document. What was said of it in this turn is told first. */
  leave(document: string): void;
  /**
   * Tells the others of an update, which has this number in the log of this instance; once a turn, merged.
   * @param attribution - what who commits it in the place of this instance is to know; such an update is told by itself
   */
  relay(document: string, update: Uint8Array, sequence: number, attribution?: string): void;
  /**
   * Tells the others of the presence of these clients, once a turn.
   * @param encode - what is to be said of them, as they are at the end of the turn
   */
  tellPresence(document: string, clients: Iterable<number>, encode: EncodePeople): void;
  /**
   * Asks the others for what they have of a document that was joined, first of all when it is in memory (`joining`).
   * @returns what resolves when all who are to answer have, with whether nothing can be missing: `false` when somebody has not answered
   * within a second, or has nothing to say, when nobody could be asked, when somebody may have closed the document just now, and when
   * this instance could not be reached for a while (`returning`)
   */
  ask(document: string, stateVector: Uint8Array, purpose: Purpose): Promise<boolean>;
  /** The log of this instance has committed up to a number. */
  committed(sequence: number): void;
  /** Postgres has refused a batch of this instance. */
  refused(): void;
  /** Tells the others that something was committed to a document, which may not be open here. */
  stored(document: string): void;
  /** Tells the others that rows of a document were set aside. */
  damaged(document: string): void;
  /** Tells the others that access was taken back. */
  revoked(): void;
  /** Tells the others that a document was deleted, or renamed. */
  deleted(deletion: Deletion): void;
  /** Who is connected to a document at the other instances; of those that do not answer within a second nobody. */
  connectionsTo(document: string): Promise<ConnectionInfo[]>;
  /** Tells the others to close connections. */
  disconnect(whose: ConnectionsOf): void;
  /** Tells the others that this instance ends. */
  close(): Promise<void>;
}

/** A single instance. */
export const ALONE: Cluster = {
  listen() {},
  instance: '',
  isThere: true,
  hears: () => false,
  join() {},
  leave() {},
  relay() {},
  tellPresence() {},
  ask: () => Promise.resolve(true),
  committed() {},
  refused() {},
  stored() {},
  damaged() {},
  revoked() {},
  deleted() {},
  connectionsTo: () => Promise.resolve([]),
  disconnect() {},
  close: () => Promise.resolve(),
};

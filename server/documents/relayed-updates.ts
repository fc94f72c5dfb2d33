import type { LogPosition } from '../cluster/cluster.ts';
import type { Attribution } from './pending-edits.ts';

interface RelayedUpdate {
  readonly number: number;
  readonly position: LogPosition;
  readonly update: Uint8Array;
  readonly attribution: Attribution | null;
  /** Milliseconds of `performance.now()`. */
  readonly since: number;
  /** Its number in the log of this instance, once it was taken over. */
  ownSequence: number;
}

/**
 * The updates of other instances that one document holds and that nobody has confirmed to be committed. Acks wait for them too:
 * who wrote them may die first. They are numbered as they come, and `durable` says up to which number all of them are.
 */
export class RelayedUpdates {
  /** Oldest first. */
  #waiting: RelayedUpdate[] = [];
  #received = 0;

  /** Number of the last one: all up to it are what the document holds. */
  get received(): number {
    return this.#received;
  }

  /** All up to this number are committed. */
  get durable(): number {
    return (this.#waiting[0]?.number ?? this.#received + 1) - 1;
  }

  get isEmpty(): boolean {
    return this.#waiting.length === 0;
  }

  add(position: LogPosition, update: Uint8Array, attribution: Attribution | null = null): void {
    this.#received += 1;
    const since = performance.now();
    this.#waiting.push({
      number: this.#received,
      position,
      update,
      attribution,
      since,
      ownSequence: Infinity,
    });
  }

  /** Another instance has committed up to a number. */
  confirm(confirmed: LogPosition): void {
    this.#keep(({ position }) => position.log !== confirmed.log || position.sequence > confirmed.sequence);
  }

  /** The log of this instance has committed up to a number. */
  committed(sequence: number): void {
    this.#keep(({ ownSequence }) => ownSequence > sequence);
  }

  /**
   * Writes those that have waited since then into the log of this instance.
   * @param append - gives an update to the log, and returns its number
   */
  takeOver(since: number, append: (update: Uint8Array, attribution: Attribution | null) => number): void {
    for (const relayed of this.#waiting) {
      if (relayed.ownSequence === Infinity && relayed.since <= since)
        relayed.ownSequence = append(relayed.update, relayed.attribution);
    }
  }

  #keep(isWaiting: (relayed: RelayedUpdate) => boolean): void {
    if (this.#waiting.length > 0) this.#waiting = this.#waiting.filter(isWaiting);
  }
}

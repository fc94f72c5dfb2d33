import { failpoint } from '../failpoints.ts';

/** What is committed, or has to be: numbers up to which everything is. */
export interface Durable {
  /** Of the update log. */
  readonly sequence: number;
  /** Of the updates of other instances that the document has received. */
  readonly relayed: number;
}

/** Whether it is committed. */
export function isDurable(due: Durable, committed: Durable): boolean {
  return due.sequence <= committed.sequence && due.relayed <= committed.relayed;
}

/** Acks that a connection is owed for consecutive frames with one outcome. */
interface Run {
  /** What must be committed; the sequence is `REFUSED` when the frames were refused. */
  readonly due: Durable;
  count: number;
  /** When the first of the frames arrived, in milliseconds of `performance.now()`. */
  readonly since: number;
}

const REFUSED = -1;
const REFUSAL: Durable = { sequence: REFUSED, relayed: 0 };

/**
 * The acks that one connection is owed: one for each update and step 2 frame, in the order of the frames, each when
 * everything that the document held when its frame was handled is committed. Providers count them, so there must be
 * exactly as many as frames.
 */
export class Acks {
  readonly #send: (committed: boolean) => void;
  readonly #onAck: (seconds: number) => void;
  #runs: Run[] = [];

  /**
   * @param send - sends one ack
   * @param onAck - told how long an ack took, in seconds
   */
  constructor(send: (committed: boolean) => void, onAck: (seconds: number) => void) {
    this.#send = send;
    this.#onAck = onAck;
  }

  /** Owes an ack for a frame, due when all of this is committed. */
  owe(due: Durable, since: number): void {
    const last = this.#runs.at(-1);
    // Frames that brought nothing new have the numbers of their predecessor: counting them keeps this short while
    // Postgres is away.
    if (last?.due.sequence === due.sequence && last.due.relayed === due.relayed) last.count += 1;
    else this.#runs.push({ due, count: 1, since });
  }

  /** Owes a refusal, which waits for its turn. */
  oweRefusal(since: number): void {
    this.owe(REFUSAL, since);
  }

  get isEmpty(): boolean {
    return this.#runs.length === 0;
  }

  /** Sends what is due. */
  settle(committed: Durable): void {
    let settled = 0;
    for (const { due, count, since } of this.#runs) {
      const { sequence } = due;
      if (!isDurable(due, committed)) break;
      settled += 1;
      failpoint('ack.before');
      for (let sent = 0; sent < count; sent += 1) this.#send(sequence !== REFUSED);
      failpoint('ack.after');
      if (sequence !== REFUSED) this.#onAck((performance.now() - since) / 1000);
    }
    if (settled > 0) this.#runs = this.#runs.slice(settled);
  }
}

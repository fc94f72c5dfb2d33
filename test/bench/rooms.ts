import { contentOf } from './documents.ts';
import type { Place } from './member.ts';
import { pace } from './pace.ts';
import { Room, type RoomOptions, type Seen } from './room.ts';
import type { Crowd } from './workload.ts';

/** So many come in at a time where it is not measured: a server that starts has a short queue. */
const AT_ONCE = 50;

/** So many come from one address: it has 28,000 ports, of which a free one takes long to be found when half of them are taken. */
const FROM_ADDRESS = 5_000;

interface RoomsOptions
  extends Pick<RoomOptions, 'crowd' | 'edits' | 'hasAcks' | 'onSettled'>, Pick<Place, 'dialect'> {
  /** Of the instances; the people of a document are at one after the other, the first of them at another one in each document. */
  urls: readonly string[];
  /** Names of documents begin with this. */
  prefix: string;
  /** Addresses that they come from begin with this. */
  network: string;
}

/** The documents of a crowd. */
export class Rooms {
  readonly #crowd: Crowd;
  readonly #rooms: readonly Room[];

  constructor({ crowd, urls, prefix, dialect, network, ...options }: RoomsOptions) {
    this.#crowd = crowd;
    const content = contentOf(crowd.content ?? 'empty');
    this.#rooms = Array.from({ length: crowd.documents }, (_, index) => {
      const places = Array.from({ length: crowd.people }, (_person, person) => ({
        url: urls[(index + person) % urls.length] ?? '',
        document: `${prefix}/${index}`,
        dialect,
        from: `${network}.${1 + Math.floor((index * crowd.people + person) / FROM_ADDRESS)}`,
      }));
      return new Room({ ...options, crowd, content, places });
    });
  }

  get isLate(): boolean {
    return this.#crowd.isLate ?? false;
  }

  get isSettled(): boolean {
    return this.#rooms.every((room) => room.isSettled);
  }

  async fill(): Promise<void> {
    for (const room of this.#rooms) await room.fill();
  }

  /** Everybody comes in: the late ones all at once. */
  async enter(): Promise<void> {
    const doors = this.#rooms.flatMap((room) => room.doors);
    const queue = doors.values();
    const lane = async () => {
      for (const enter of queue) await enter();
    };
    await Promise.all(Array.from({ length: this.isLate ? doors.length : AT_ONCE }, lane));
  }

  /**
   * Types and moves cursors, everybody as often as the others.
   * @returns by how many milliseconds this process was late with it, each time that it looked
   */
  async play(seconds: number, rate = this.#crowd.rate ?? 0): Promise<number[]> {
    const typing = this.#rooms.flatMap((room) => room.typing);
    const moving = this.#rooms.flatMap((room) => room.moving);
    const late = await Promise.all([
      pace(typing, rate, seconds),
      pace(moving, this.#crowd.moves ?? 0, seconds),
    ]);
    return late.flat();
  }

  measure(): void {
    for (const room of this.#rooms) room.measure();
  }

  get seen(): Seen {
    return sumOf(this.#rooms.map(({ seen }) => seen));
  }

  get frames(): number {
    return this.#rooms.reduce((sum, { frames }) => sum + frames, 0);
  }

  get cuts(): number {
    return this.#rooms.reduce((sum, { cuts }) => sum + cuts, 0);
  }
}

/** What has been seen in several places. */
export function sumOf(all: readonly Seen[]): Seen {
  const sum = (of: 'sent' | 'undelivered' | 'unacknowledged' | 'stale') =>
    all.reduce((before, seen) => before + seen[of], 0);
  return {
    sent: sum('sent'),
    undelivered: sum('undelivered'),
    unacknowledged: sum('unacknowledged'),
    stale: sum('stale'),
    arrivals: all.flatMap(({ arrivals }) => arrivals),
    acks: all.flatMap(({ acks }) => acks),
    opens: all.flatMap(({ opens }) => opens),
    moves: all.flatMap(({ moves }) => moves),
  };
}

import { randomUUID } from 'node:crypto';
import { type RunningProcess, startNode } from '../helpers/processes.ts';
import type { Load, LoadResult } from './load.ts';
import { type Group, PEERS } from './peers.ts';
import type { Seen } from './room.ts';
import { sumOf } from './rooms.ts';
import { unfold } from './unfolding.ts';
import type { Crowd, Workload } from './workload.ts';

/** Until documents are filled, everybody is in and warm; and, beyond what is measured, until everything has arrived. */
const FILL_MS = 120_000;
const WARM_MS = 180_000;
const ARRIVAL_MS = 120_000;

/** Each process has its own: ports of one that has ended are not free at once. */
let networks = 0;

function newNetwork(): string {
  networks += 1;
  return `127.1.${networks % 256}`;
}

/** What all processes have printed. */
export interface Measured extends Omit<LoadResult, 'seen'> {
  /** By each crowd. */
  seen: Seen[];
}

/** The processes that are a server's load. */
export class Loading {
  readonly #group: Group;
  readonly #workload: Workload;
  /** Of each crowd. */
  readonly #processes: readonly (readonly RunningProcess[])[];
  /** Names of its documents begin with this, go on with the place of a crowd in the workload, and end with a number. */
  readonly prefix: string;

  private constructor(
    group: Group,
    workload: Workload,
    prefix: string,
    processes: readonly (readonly RunningProcess[])[],
  ) {
    this.#group = group;
    this.#workload = workload;
    this.#processes = processes;
    this.prefix = prefix;
  }

  static async start(group: Group, workload: Workload): Promise<Loading> {
    const { crowds, processes = 1, ...common } = workload;
    const prefix = `bench/${randomUUID()}`;
    const { dialect, hasAcks } = PEERS[group.peer];
    const startOne = (crowd: Crowd, place: string, index: number) => {
      const load: Load = {
        ...common,
        crowd: { ...crowd, documents: crowd.documents / processes },
        urls: group.urls,
        dialect,
        hasAcks,
        prefix: processes === 1 ? place : `${place}/${index}`,
        network: newNetwork(),
      };
      return startNode(['test/bench/load.ts', JSON.stringify(load)]);
    };
    const starting = crowds.map((crowd, place) =>
      Promise.all(
        Array.from({ length: processes }, (_, index) => startOne(crowd, `${prefix}/${place}`, index)),
      ),
    );
    return new Loading(group, workload, prefix, await Promise.all(starting));
  }

  /** Holds when everybody is in, and has worked for a while. */
  async warm(): Promise<void> {
    await this.#lines(/^filled$/, FILL_MS);
    const { restart, isUnfolded = false, crowds } = this.#workload;
    const unfoldIt = async () => {
      if (isUnfolded)
        await unfold(this.#group.databaseUrl, `${this.prefix}/0/0`, crowds[0]?.content ?? 'empty');
    };
    if (restart !== undefined) await this.#group.restart(restart, unfoldIt);
    this.#go();
    await this.#lines(/^warm$/, WARM_MS);
  }

  /** What people have seen of what they have then done. */
  async measured(): Promise<Measured> {
    this.#go();
    const lines = await this.#lines(/^\{.*\}$/, this.#workload.seconds * 1000 + ARRIVAL_MS);
    const byCrowd = lines.map((ofCrowd) => ofCrowd.map(([line]) => JSON.parse(line) as LoadResult));
    const results = byCrowd.flat();
    return {
      seen: byCrowd.map((ofCrowd) => sumOf(ofCrowd.map(({ seen }) => seen))),
      frames: results.reduce((sum, { frames }) => sum + frames, 0),
      cuts: results.reduce((sum, { cuts }) => sum + cuts, 0),
      late: results.flatMap(({ late }) => late),
    };
  }

  async end(): Promise<void> {
    await Promise.all(this.#processes.flat().map((running) => running.kill()));
  }

  #go(): void {
    for (const running of this.#processes.flat()) running.signal('SIGUSR2');
  }

  #lines(pattern: RegExp, deadlineMs: number): Promise<RegExpMatchArray[][]> {
    const lines = this.#processes.map((ofCrowd) =>
      Promise.all(ofCrowd.map((running) => running.line(pattern, deadlineMs))),
    );
    return Promise.all(lines);
  }
}

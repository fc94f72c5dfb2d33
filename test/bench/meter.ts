import { readFileSync } from 'node:fs';
import { Redis } from 'ioredis';
import { Client } from 'pg';
import { inject } from 'vitest';
import { atTestEnd } from '../helpers/cleanup.ts';
import { collect } from '../helpers/memory.ts';
import { family } from '../helpers/process-table.ts';
import type { Group } from './peers.ts';

/** What has been used. */
export interface Use {
  /** Milliseconds that it took. */
  time: number;
  /** Microseconds of CPU, of the processes of all instances together. */
  serverCpu: number;
  redisCpu: number;
  /** Of all of its processes. */
  postgresCpu: number;
  publishes: number;
  /** Into Redis and out of it, as it counts them itself. */
  redisBytes: number;
  /** In the update log; others have none. */
  rows: number;
}

/** Bytes that the servers have in memory. */
export interface Resident {
  /** When nobody had come yet. */
  before: number;
  after: number;
}

type CpuUse = Pick<Use, 'serverCpu' | 'redisCpu' | 'postgresCpu'>;
type RedisUse = Pick<Use, 'publishes' | 'redisBytes'>;

/** The unit of /proc/<pid>/stat, whatever the kernel is built for. */
const TICK_MICROSECONDS = 10_000;

/** Reads what servers, Redis and Postgres use. They have to be on this machine, and it a Linux. */
export class Meter {
  readonly #group: Group;
  readonly #redis: Redis;
  readonly #postgres: Client;
  #redisPid = 0;
  #postmasterPid = 0;
  #residentBefore = 0;
  #walBefore = 0;
  #before: Use | undefined;

  private constructor(group: Group) {
    this.#group = group;
    this.#redis = new Redis(inject('redisUrl'));
    this.#postgres = new Client(group.databaseUrl);
  }

  /** Of servers to which nobody has come. */
  static async open(group: Group): Promise<Meter> {
    const meter = new Meter(group);
    await meter.#open();
    return meter;
  }

  /** What is used from now on counts. */
  async start(): Promise<void> {
    this.#walBefore = await this.#wal();
    // What the questions cost is over when CPU is read.
    const rows = await this.#rows();
    const { replyBytes, ...redis } = await this.#redisUse();
    // The answer was counted after it had been written.
    redis.redisBytes += replyBytes;
    this.#before = { time: performance.now(), ...this.#cpuUse(), ...redis, rows };
  }

  /** What has been used since. */
  async used(): Promise<Use> {
    const [time, cpu] = [performance.now(), this.#cpuUse()];
    const { publishes, redisBytes } = await this.#redisUse();
    const now: Use = { time, ...cpu, publishes, redisBytes, rows: await this.#rows() };
    const before = this.#before;
    if (before === undefined) throw new Error('it was not started');
    const difference = (of: keyof Use) => now[of] - before[of];
    return {
      time: difference('time'),
      serverCpu: difference('serverCpu'),
      redisCpu: difference('redisCpu'),
      postgresCpu: difference('postgresCpu'),
      publishes: difference('publishes'),
      redisBytes: difference('redisBytes'),
      rows: difference('rows'),
    };
  }

  async resident(): Promise<Resident> {
    return { before: this.#residentBefore, after: await this.#residentNow() };
  }

  /** Bytes that Postgres has written to its log since {@link start}. */
  async written(): Promise<number> {
    return (await this.#wal()) - this.#walBefore;
  }

  async #open(): Promise<void> {
    atTestEnd(() => this.#redis.disconnect());
    this.#redisPid = Number(/process_id:(\d+)/.exec(await this.#redis.info('server'))?.[1]);
    await this.#postgres.connect();
    atTestEnd(() => this.#postgres.end());
    const { rows } = await this.#postgres.query<{ pid: number }>('select pg_backend_pid() as pid');
    this.#postmasterPid = timesOf(rows[0]?.pid ?? 0).parent;
    this.#residentBefore = await this.#residentNow();
  }

  #cpuUse(): CpuUse {
    const processes = (pids: number[]) => pids.reduce((sum, pid) => sum + timesOf(pid).own, 0);
    return {
      serverCpu: processes(this.#group.instances.flatMap(({ pid }) => family(pid))),
      redisCpu: processes([this.#redisPid]),
      // The time of those that have ended is that of their parent's children.
      postgresCpu: processes(family(this.#postmasterPid)) + timesOf(this.#postmasterPid).children,
    };
  }

  /** Without garbage, of which there is as much as there was no reason yet to collect it. */
  async #residentNow(): Promise<number> {
    let bytes = 0;
    for (const instance of this.#group.instances)
      for (const pid of family(instance.pid)) {
        await collect(instance, pid);
        bytes += residentOf(pid);
      }
    return bytes;
  }

  async #redisUse(): Promise<RedisUse & { replyBytes: number }> {
    const info = await this.#redis.info('all');
    const number = (pattern: RegExp) => Number(pattern.exec(info)?.[1] ?? 0);
    return {
      publishes: number(/cmdstat_publish:calls=(\d+)/),
      redisBytes: number(/total_net_input_bytes:(\d+)/) + number(/total_net_output_bytes:(\d+)/),
      replyBytes: Buffer.byteLength(info),
    };
  }

  async #wal(): Promise<number> {
    const bytes = "select pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0') as bytes";
    return Number((await this.#postgres.query<{ bytes: string }>(bytes)).rows[0]?.bytes);
  }

  async #rows(): Promise<number> {
    const exists = "select to_regclass('indelible.updates') is not null as exists";
    if ((await this.#postgres.query<{ exists: boolean }>(exists)).rows[0]?.exists !== true) return 0;
    // Not those that are there: folding takes some away.
    const last =
      "select pg_sequence_last_value(pg_get_serial_sequence('indelible.updates', 'id')::regclass) as rows";
    return Number((await this.#postgres.query<{ rows: string | null }>(last)).rows[0]?.rows ?? 0);
  }
}

function residentOf(pid: number): number {
  const [, kilobytes] = /VmRSS:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, 'utf8')) ?? [];
  return Number(kilobytes) * 1024;
}

/** Microseconds that a process has run, and those of its children that have ended. */
function timesOf(pid: number): { parent: number; own: number; children: number } {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
  // The second field is the command in parentheses, which may hold spaces; the third one follows.
  const fields = stat
    .slice(stat.lastIndexOf(')') + 2)
    .split(' ')
    .map(Number);
  const [parent = 0, user = 0, system = 0, childUser = 0, childSystem = 0] = [1, 11, 12, 13, 14].map(
    (index) => fields[index],
  );
  return {
    parent,
    own: (user + system) * TICK_MICROSECONDS,
    children: (childUser + childSystem) * TICK_MICROSECONDS,
  };
}

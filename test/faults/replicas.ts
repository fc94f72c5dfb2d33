import type { QueryResultRow } from 'pg';
import { vi } from 'vitest';
import { createPostgres, queryOnce } from '../helpers/postgres.ts';
import { type Proxy, startProxy } from '../helpers/proxy.ts';
import type { PostgresCluster } from '../setup/postgres-cluster.ts';

/** A primary and its standby, behind an address that goes with the primary. */
export class Replicas {
  primary: PostgresCluster;
  standby: PostgresCluster;
  /** What servers connect to. */
  readonly address: Proxy;
  /** How the standby reaches the primary. */
  readonly line: Proxy;
  readonly #settings: Record<string, string>;

  /** @param options.isSynchronous - whether a commit waits for the standby */
  static async start({ isSynchronous }: { isSynchronous: boolean }): Promise<Replicas> {
    const [primary, standby] = [createPostgres(), createPostgres()];
    await primary.initialise();
    await primary.start();
    const [address, line] = [await startProxy(primary.url), await startProxy(primary.url)];
    const settings: Record<string, string> = isSynchronous ? { synchronous_standby_names: '*' } : {};
    const replicas = new Replicas(primary, standby, address, line, settings);
    await replicas.#replicate();
    return replicas;
  }

  private constructor(
    primary: PostgresCluster,
    standby: PostgresCluster,
    address: Proxy,
    line: Proxy,
    settings: Record<string, string>,
  ) {
    this.primary = primary;
    this.standby = standby;
    this.address = address;
    this.line = line;
    this.#settings = settings;
  }

  /** Makes a standby of the primary as it is. The package has no pg_basebackup, so the primary is stopped for the copy. */
  async #replicate(): Promise<void> {
    await this.primary.stop('fast');
    await this.standby.follow(this.primary, Number(new URL(this.line.url).port));
    await this.primary.start(this.#settings);
    await this.standby.start();
    await vi.waitFor(
      async () => {
        if (!(await this.#isFollowed())) throw new Error('the standby does not follow the primary');
      },
      { timeout: 20_000 },
    );
  }

  async #isFollowed(): Promise<boolean> {
    const rows = await this.query(`select from pg_stat_replication where state = 'streaming'`);
    return rows.length === 1;
  }

  /** The primary is gone at once, with whatever it has not sent. */
  async killPrimary(): Promise<void> {
    await this.primary.stop('immediate');
    // What is on its way in a proxy would not be, had the machine gone.
    this.line.reset();
    this.line.heal();
  }

  /** The primary crashes and recovers. */
  async restartPrimary(): Promise<void> {
    await this.primary.stop('immediate');
    await this.primary.start(this.#settings);
  }

  /** Makes a primary of the standby, which servers do not reach yet. */
  async promote(): Promise<void> {
    [this.primary, this.standby] = [this.standby, this.primary];
    const [row] = await this.query<{ done: boolean }>('select pg_promote() as done');
    if (row?.done !== true) throw new Error('the standby was not promoted');
  }

  /** The address leads to the promoted one from now on. */
  moveAddress(): void {
    this.address.retarget(this.primary.url);
    // Lines to a machine that has gone are reset by the one that has its address now.
    this.address.reset();
  }

  /** The one that was killed is a standby of the other one. */
  async replicateAgain(): Promise<void> {
    this.line.retarget(this.primary.url);
    await this.#replicate();
  }

  /** Ends the connections to what was the primary on which edits are committed; others stay open, and are answered. */
  async endCommits(): Promise<void> {
    await queryOnce(
      this.standby.url,
      `select pg_terminate_backend(pid) from pg_stat_activity
         where application_name = 'indelible' and query like 'insert into indelible.updates%'`,
    );
  }

  /** Asks the primary. */
  query<Row extends QueryResultRow>(statement: string, values?: unknown[]): Promise<Row[]> {
    return queryOnce<Row>(this.primary.url, statement, values);
  }

  /** Bytes that the standby has not written to its disk. */
  async lag(): Promise<number> {
    const [row] = await this.query<{ bytes: number }>(
      'select (pg_current_wal_lsn() - flush_lsn)::int as bytes from pg_stat_replication',
    );
    return row?.bytes ?? Infinity;
  }

  /** The backends of servers that wait for the standby to confirm their commit. */
  async waiting(): Promise<number[]> {
    const rows = await this.query<{ pid: number }>(
      `select pid from pg_stat_activity where wait_event = 'SyncRep' and application_name = 'indelible'`,
    );
    return rows.map(({ pid }) => pid);
  }
}

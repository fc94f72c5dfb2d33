import type { Socket } from 'node:net';
import { Client, type ClientConfig } from 'pg';
import { isTransient } from './sql-errors.ts';

/** The function of Postgres in which a commit waits for synchronous standbys; a warning's code and language say less. */
const WAIT_FOR_STANDBY = 'SyncRepWaitForLSN';

/** See `History.follow`; the name of a file of the log begins with the timeline, as eight hexadecimal digits. */
const TIMELINE = `(select system_identifier from pg_control_system()) || '/' ||
  substr(pg_walfile_name(pg_current_wal_insert_lsn()), 1, 8)`;

/** A connection to the database, and what is known of the server behind it. */
export class DatabaseConnection extends Client {
  /** The process of Postgres; what the protocol says of it would be a pooler's. */
  pid: number | undefined;
  /** The history that the server writes; see `History.follow`. */
  timeline: string | null = null;
  /**
   * Set when a commit has been cancelled (`pg_cancel_backend`) while it waited for a synchronous standby: Postgres reports
   * success, and says with this warning that the standby may not have it. No other warning counts: one that comes with every
   * statement would be an outage.
   */
  warning: string | undefined;

  constructor(config?: string | ClientConfig) {
    super(config);
    // One that breaks between two statements would end the process if nobody listened; the next statement rejects anyway.
    this.on('error', () => {});
    this.on('notice', ({ routine, message }) => {
      if (routine === WAIT_FOR_STANDBY) this.warning = message ?? routine;
    });
  }

  /**
   * Sets the session up, and asks who is at the other end.
   * @throws when it is a standby: what that has may be old
   */
  async begin(session: string): Promise<void> {
    await this.query(session);
    const { rows } = await this.#identify();
    if (rows[0]?.isStandby === true) throw new Error('this is a standby, which is not promoted');
    this.pid = rows[0]?.pid;
    this.timeline = rows[0]?.timeline ?? null;
  }

  async #identify() {
    const select = (timeline: string) =>
      this.query<{ pid: number; isStandby: boolean; timeline: string | null }>(
        `select pg_backend_pid() as pid, pg_is_in_recovery() as "isStandby", ${timeline} as timeline`,
      );
    try {
      return await select(TIMELINE);
    } catch (error) {
      if (isTransient(error)) throw error;
      // Not everything that speaks like Postgres has these functions, or lets everybody call them.
      return await select('null');
    }
  }

  /**
   * Waits for work on this connection.
   * @param ms - how long nothing may come or go meanwhile; 0 waits for ever
   * @throws when it was silent for longer; the connection is of no use then
   */
  async unlessSilent<T>(work: Promise<T>, ms: number): Promise<T> {
    const silence = Promise.withResolvers<never>();
    const giveUp = () => silence.reject(new Error(`the database was silent for ${ms} ms`));
    const socket = this.connection.stream as Socket;
    socket.setTimeout(ms, giveUp);
    try {
      return await Promise.race([work, silence.promise]);
    } finally {
      socket.setTimeout(0, giveUp);
    }
  }
}

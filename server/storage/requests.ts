import type { DatabaseConnection } from './database-connection.ts';
import type { DatabasePool } from './database-pool.ts';

/** What a request was answered, so that it can be answered again. */
export interface StoredAnswer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string | null;
}

/** A request that has changed something, as it is recorded with its change. */
export interface RequestRecord {
  /** Whose it is; blank when nobody was asked who they are. */
  readonly user: string;
  readonly key: string;
  /** Another one each time that it is tried. */
  readonly attempt: string;
  /** Of everything that makes it the same request. */
  readonly fingerprint: string;
  readonly answer: StoredAnswer;
}

/** A request that is recorded with an update. */
export interface KeyedRequest {
  readonly record: RequestRecord;
  /**
   * Called when another attempt is recorded under its key, and the update is not written; maybe again. Must not throw.
   * @returns whether it is to be written all the same, without its request, since people have seen it
   */
  readonly onRepeated: () => boolean;
}

/** A request that was answered. */
export type AnsweredRequest = Pick<RequestRecord, 'attempt' | 'fingerprint' | 'answer'>;

/** Of a request, whoever tries it. */
export function idOf({ user, key }: Pick<RequestRecord, 'user' | 'key'>): string {
  return JSON.stringify([user, key]);
}

/** Requests with idempotency keys that have changed something. Every method throws what `pg` throws when the database does not answer. */
export class Requests {
  readonly #pool: DatabasePool;

  constructor(pool: DatabasePool) {
    this.#pool = pool;
  }

  async find(user: string, key: string): Promise<AnsweredRequest | null> {
    const { rows } = await this.#pool.query<AnsweredRequest>(
      'select attempt, fingerprint, answer from indelible.requests where "user" = $1 and key = $2',
      [user, key],
    );
    return rows[0] ?? null;
  }

  /** Records a request whose change is committed already. */
  async save(request: RequestRecord): Promise<void> {
    await this.#pool.use((connection) => record(connection, request));
  }

  async forgetOld(ageMs: number): Promise<void> {
    await this.#pool.query(
      'delete from indelible.requests where created_at < now() - make_interval(secs => $1::float8 / 1000)',
      [ageMs],
    );
  }
}

/** Records a request, unless there is one with its key. */
export async function record(connection: DatabaseConnection, request: RequestRecord): Promise<void> {
  const { user, key, attempt, fingerprint, answer } = request;
  await connection.query(
    `insert into indelible.requests ("user", key, attempt, fingerprint, answer) values ($1, $2, $3, $4, $5)
       on conflict do nothing`,
    [user, key, attempt, fingerprint, JSON.stringify(answer)],
  );
}

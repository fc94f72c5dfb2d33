import type { DatabasePool } from './database-pool.ts';

/** Whose access was taken back, and when (milliseconds since 1970, by the clock of the database). */
interface StoredRevocation {
  readonly document: string | null;
  readonly user: string | null;
  readonly revokedAt: number;
}

/** Transactions may become visible after ones that began later; read again from this long before the newest. */
const OVERLAP_MS = 60_000;

/** Revocations in the database, where every instance finds them. */
export class RevocationStore {
  readonly #pool: DatabasePool;
  #newest = -Infinity;

  constructor(pool: DatabasePool) {
    this.#pool = pool;
  }

  /** Stores a revocation as of now. */
  async save(document: string | null, user: string | null): Promise<StoredRevocation> {
    const { rows } = await this.#pool.transaction((connection) =>
      connection.query<StoredRevocation>(
        `insert into indelible.revocations (document, "user", revoked_at) values ($1, $2, clock_timestamp())
           on conflict (document, "user") do update
             set revoked_at = greatest(revocations.revoked_at, excluded.revoked_at)
           returning ${COLUMNS}`,
        [document, user],
      ),
    );
    return rows[0] as StoredRevocation;
  }

  /** Those that may have been stored since the last call; all, the first time. */
  async readNew(): Promise<StoredRevocation[]> {
    const { rows } = await this.#pool.query<StoredRevocation>(
      `select ${COLUMNS} from indelible.revocations where revoked_at > to_timestamp($1::float8 / 1000)`,
      [this.#newest === -Infinity ? 0 : this.#newest - OVERLAP_MS],
    );
    for (const { revokedAt } of rows) this.#newest = Math.max(this.#newest, revokedAt);
    return rows;
  }
}

const COLUMNS = `document, "user", extract(epoch from revoked_at)::float8 * 1000 as "revokedAt"`;

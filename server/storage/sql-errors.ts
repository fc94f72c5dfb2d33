import { IndelibleError, messageOf } from '../errors.ts';

/** SQLSTATE classes of a server that is away or out of something: connection, resources, operator, system. */
const TRANSIENT_CLASSES = new Set(['08', '25', '40', '53', '55', '57', '58']);
/** SQLSTATE classes that speak of the values themselves: data, integrity, program limits. */
const DATA_CLASSES = new Set(['22', '23', '54']);

/**
 * Whether an error says that the database is away, overloaded or read-only for now, so that the same statement may
 * succeed later.
 */
export function isTransient(error: unknown): boolean {
  const state = sqlStateOf(error);
  if (state !== null) return TRANSIENT_CLASSES.has(state.slice(0, 2));
  // What has no SQLSTATE comes from the socket or a timeout, unless it is a mistake of ours.
  return error instanceof Error && !(error instanceof TypeError || error instanceof RangeError);
}

/** The database has not answered whether it has committed something. */
export class OutcomeUnknown extends Error {
  constructor(cause: unknown) {
    super(`it is not known whether it is done: ${messageOf(cause)}`, { cause });
  }
}

/**
 * @throws {@link IndelibleError} `database_unavailable` when the database is away, so that nothing is changed; `outcome_unknown` when it
 * fell silent while it did that
 */
export async function orUnavailable<T>(work: Promise<T>): Promise<T> {
  try {
    return await work;
  } catch (error) {
    if (error instanceof IndelibleError || !isTransient(error)) throw error;
    const code = error instanceof OutcomeUnknown ? 'outcome_unknown' : 'database_unavailable';
    throw new IndelibleError(code, undefined, { cause: error });
  }
}

/** Whether Postgres refuses the values of a statement, so that the same values can never succeed. */
export function isAboutTheData(error: unknown): boolean {
  return DATA_CLASSES.has(sqlStateOf(error)?.slice(0, 2) ?? '');
}

/** Whether there is a row already of which there can be one only. */
export function isDuplicate(error: unknown): boolean {
  return sqlStateOf(error) === '23505';
}

/** What errors of one cause have in common. */
export function kindOf(error: unknown): string {
  return sqlStateOf(error) ?? messageOf(error);
}

/** What Postgres calls an error; `null` for one that is not Postgres's. */
export function sqlStateOf(error: unknown): string | null {
  if (!(error instanceof Error) || !('code' in error) || typeof error.code !== 'string') return null;
  // Five characters; the codes of Node's own errors are longer words.
  return /^[0-9A-Z]{5}$/.test(error.code) && error.code !== 'EPIPE' ? error.code : null;
}

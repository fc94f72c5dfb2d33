/**
 * Every error that a client, a program or an operator can meet: its code, the HTTP status and the WebSocket
 * close code that carry it, and what to do about it.
 *
 * Close codes 4400 to 4499 are final for y-websocket (it stops reconnecting), every other code makes it try again.
 */
const table = {
  bad_name: {
    status: 400,
    closeCode: 4400,
    text: 'a document name is 1 to 255 bytes of UTF-8 without control characters, empty segments or dot segments',
  },
  bad_request: { status: 400, closeCode: 4400, text: 'the request is not one of the API' },
  bad_revocation: {
    status: 400,
    closeCode: 4400,
    text: 'a revocation names a document, a user, or both',
  },
  bad_frame: { status: 400, closeCode: 4400, text: 'the frame is not one of the protocol' },
  bad_update: {
    status: 400,
    closeCode: 4400,
    text: 'the update does not decode, or holds what no client of Yjs writes',
  },
  bad_user: {
    status: 400,
    closeCode: 4400,
    text: 'the id of a user is 1 to 255 bytes of UTF-8 without control characters',
  },
  bad_limit: { status: 400, closeCode: 4400, text: 'a page of a list has 1 to 1,000 entries' },
  bad_method: { status: 405, closeCode: 4400, text: 'there is no such method here; see Allow' },
  bad_media_type: {
    status: 415,
    closeCode: 4400,
    text: 'the body is of a type that this request does not take',
  },
  bad_operation: { status: 422, closeCode: 4400, text: 'the operation cannot be done; nothing is changed' },
  document_missing: { status: 404, closeCode: 4404, text: 'there is no such document' },
  document_deleted: {
    status: 404,
    closeCode: 4404,
    text: 'the document was deleted, or has another name now; only who restores or creates it opens the name again',
  },
  document_changed: { status: 412, closeCode: 4412, text: 'the document has moved on; read it again' },
  document_exists: { status: 409, closeCode: 4409, text: 'there is a document of this name already' },
  wrong_type: { status: 409, closeCode: 4409, text: 'the root of the document is of another type' },
  bad_path: { status: 404, closeCode: 4400, text: 'there is nothing at this path' },
  unauthorized: { status: 401, closeCode: 4401, text: 'a valid token is needed' },
  token_expired: { status: 401, closeCode: 4401, text: 'the token has expired; get a new one' },
  auth_late: { status: 401, closeCode: 4401, text: 'no token came in time; see LIMIT_AUTH_MS' },
  forbidden: { status: 403, closeCode: 4403, text: 'the token does not allow this document' },
  read_only: { status: 403, closeCode: 4403, text: 'the token allows reading only' },
  revoked: { status: 403, closeCode: 4403, text: 'access was revoked after the token was issued' },
  forbidden_origin: {
    status: 403,
    closeCode: 4403,
    text: 'pages of this origin may not connect; see ALLOWED_ORIGINS',
  },
  too_many_connections: {
    status: 429,
    closeCode: 1013,
    text: 'there are too many sockets, or too many from this address; try again later',
  },
  document_full: {
    status: 429,
    closeCode: 1013,
    text: 'too many people are in the document; try again later',
  },
  too_many_documents: {
    status: 429,
    closeCode: 1013,
    text: 'the socket has as many documents open as it may; see LIMIT_DOCUMENTS',
  },
  presence_too_large: {
    status: 413,
    closeCode: 4413,
    text: 'the presence state is larger than LIMIT_PRESENCE_BYTES',
  },
  document_too_large: {
    status: 413,
    closeCode: 4413,
    text: 'the document would become larger than LIMIT_DOCUMENT_BYTES; deleting is still possible',
  },
  too_much_pending: {
    status: 413,
    closeCode: 4413,
    text: 'too many edits wait for others that are missing; see LIMIT_PENDING_BYTES',
  },
  body_too_large: { status: 413, closeCode: 4413, text: 'the body is larger than LIMIT_FRAME_BYTES' },
  key_reused: {
    status: 422,
    closeCode: 4400,
    text: 'another request has had this Idempotency-Key within a day',
  },
  too_many_requests: { status: 429, closeCode: 1013, text: 'there are too many requests; see Retry-After' },
  frame_too_large: { status: 413, closeCode: 4413, text: 'the frame is larger than LIMIT_FRAME_BYTES' },
  document_unavailable: {
    status: 503,
    closeCode: 4503,
    text: 'the stored document cannot be read; it is kept closed and untouched until an operator mends it',
  },
  database_unavailable: { status: 503, closeCode: 4503, text: 'the database does not answer; try again' },
  commit_pending: {
    status: 504,
    closeCode: 4503,
    text: 'the edit is live, and not committed yet; the same Idempotency-Key tells what becomes of it',
  },
  outcome_unknown: {
    status: 504,
    closeCode: 4503,
    text: 'the database fell silent: it is done, or not; ask again, with the same Idempotency-Key',
  },
  document_busy: { status: 503, closeCode: 1013, text: 'too many changes of the document wait; try again' },
  content_unavailable: {
    status: 503,
    closeCode: 4503,
    text: 'the first content of the document cannot be had from onLoad',
  },
  auth_unavailable: { status: 503, closeCode: 4503, text: 'access cannot be checked for now; try again' },
  document_reset: {
    status: 503,
    closeCode: 4503,
    text: 'the document is being rebuilt from storage; connect again',
  },
  too_many_waiting: {
    status: 503,
    closeCode: 1013,
    text: 'too many frames wait for the document to open; connect again',
  },
  slow_reader: {
    status: 503,
    closeCode: 1013,
    text: 'the client does not read what it is sent, and is cut off; connect again',
  },
  disconnected: {
    status: 503,
    closeCode: 1012,
    text: 'a program of the server has closed the connection; connect again',
  },
  draining: { status: 503, closeCode: 1012, text: 'the server is restarting; connect again' },
  internal_error: { status: 500, closeCode: 1011, text: 'a mistake of the server; its log says more' },
  schema_too_new: {
    status: 500,
    closeCode: 1011,
    text: 'the database needs a newer server; update this one',
  },
  data_dir_locked: {
    status: 500,
    closeCode: 1011,
    text: 'another process uses DATA_DIR; stop it, or choose another directory',
  },
  bad_settings: { status: 500, closeCode: 1011, text: 'the settings are wrong' },
} as const satisfies Record<string, { status: number; closeCode: number; text: string }>;

/** What went wrong, as a stable word. */
export type ErrorCode = keyof typeof table;

/** An error with a stable `code`, the HTTP `status` and the WebSocket `closeCode` that carry it. */
export class IndelibleError extends Error {
  override readonly name = 'IndelibleError';
  readonly code: ErrorCode;
  readonly status: number;
  readonly closeCode: number;
  /** The table's text. */
  readonly title: string;
  /** What was wrong this time, without the table's text. */
  readonly detail: string | undefined;

  /**
   * @param code - one of the codes of the table
   * @param detail - what was wrong this time; shown after the table's text, so never a token or document text
   */
  constructor(code: ErrorCode, detail?: string, options?: ErrorOptions) {
    const { status, closeCode, text } = table[code];
    super(detail === undefined ? text : `${text}: ${detail}`, options);
    this.code = code;
    this.status = status;
    this.closeCode = closeCode;
    this.title = text;
    this.detail = detail;
  }
}

/** Anything that was thrown as an error of the table: `internal_error` for what is none. */
export function toIndelibleError(thrown: unknown): IndelibleError {
  return thrown instanceof IndelibleError
    ? thrown
    : new IndelibleError('internal_error', undefined, { cause: thrown });
}

/** The close code that carries an error code; 1011 (internal error) for a word that is not in the table. */
export function closeCodeOf(code: string): number {
  return Object.hasOwn(table, code) ? table[code as ErrorCode].closeCode : 1011;
}

/** The errors as rows for the README: code, HTTP status, WebSocket close code, text. */
export function describeErrors(): { code: string; status: number; closeCode: number; text: string }[] {
  return Object.entries(table).map(([code, { status, closeCode, text }]) => ({
    code,
    status,
    closeCode,
    text,
  }));
}

/** Whether one of the errors of the table is carried by this close code. */
export function isOurCloseCode(code: number): boolean {
  return Object.values(table).some(({ closeCode }) => closeCode === code);
}

/** The message of anything that was thrown. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** Long enough for a path of ids, short enough for an index and a log line. */
const MAX_BYTES = 255;

// oxlint-disable-next-line no-control-regex -- control characters are what is looked for
const CONTROL = /[\u0000-\u001f\u007f-\u009f]/;

/**
 * Whether a text names a document: 1 to 255 bytes of UTF-8 in NFC, no control characters, and segments between
 * slashes that are neither empty nor `.` nor `..`.
 */
export function isDocumentName(name: string): boolean {
  return (
    isPlainText(name) &&
    name.normalize('NFC') === name &&
    name.split('/').every((segment) => segment !== '' && segment !== '.' && segment !== '..')
  );
}

/** Whether a text can be the id of a user: it goes into the database, which refuses some characters, and into logs. */
export function isUserId(id: string): boolean {
  return isPlainText(id);
}

function isPlainText(text: string): boolean {
  return (
    text.length > 0 &&
    new TextEncoder().encode(text).byteLength <= MAX_BYTES &&
    text.isWellFormed() &&
    !CONTROL.test(text)
  );
}

/**
 * The document that a request path names: `/notes/today` -> `notes/today`. y-websocket sends names as typed, so a
 * slash arrives raw, and everything may be percent-encoded.
 * @returns `null` when it names none
 */
export function documentNameOf(path: string): string | null {
  try {
    const name = decodeURIComponent(path.slice(1));
    return isDocumentName(name) ? name : null;
  } catch {
    return null;
  }
}

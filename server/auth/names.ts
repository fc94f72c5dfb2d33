/** Long enough for a path of ids, short enough for an index and a log line. */
const NAME_BYTES = 255;

// oxlint-disable-next-line no-control-regex -- control characters are what is looked for
const CONTROL = /[\u0000-\u001f\u007f-\u009f]/;

/**
 * Whether a text names a document: 1 to 255 bytes of UTF-8 in NFC, no control characters, and segments between
 * slashes that are neither empty nor `.` nor `..`.
 */
export function isDocumentName(name: string): boolean {
  return (
    name.length > 0 &&
    Buffer.byteLength(name) <= NAME_BYTES &&
    name.isWellFormed() &&
    name.normalize('NFC') === name &&
    !CONTROL.test(name) &&
    name.split('/').every((segment) => segment !== '' && segment !== '.' && segment !== '..')
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

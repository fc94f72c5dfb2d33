const ETAG = /(W\/)?"([^"]*)"/g;

/** The `ETag` of a version. */
export function etagOf(version: string): string {
  return `"${version}"`;
}

/** Whether a list of ETags in `If-Match` or `If-None-Match` names a version; `*` names every one. */
export function names(header: string, version: string): boolean {
  if (header.trim() === '*') return true;
  return [...header.matchAll(ETAG)].some(([, , etag]) => etag === version);
}

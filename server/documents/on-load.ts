import type * as Y from 'yjs';

/** First content of a document that is not stored yet: a Y.Doc, an update, or nothing. */
export type OnLoad = (name: string) => Promise<Y.Doc | Uint8Array | null | undefined>;

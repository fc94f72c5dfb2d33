import * as Y from 'yjs';

/** The root type that the load types into. */
export const TEXT = 'content';

/** What a document holds before the load types into it. */
export const DOCUMENTS = { small: smallDocument, large: largeDocument } as const;
export type DocumentKind = keyof typeof DOCUMENTS;

const DELETIONS = 20_000;

function smallDocument(): Y.Doc {
  return new Y.Doc();
}

/** 475 KB as an update, 72 KB of which are 20,000 deletions of one character each, which no state vector shows. */
function largeDocument(): Y.Doc {
  const doc = new Y.Doc();
  // Ids of clients are written in as many bytes as they need; most are as large.
  doc.clientID = 2 ** 31 - 1;
  const text = doc.getText(TEXT);
  text.insert(0, 'xx'.repeat(DELETIONS));
  doc.transact(() => {
    for (let index = DELETIONS - 1; index >= 0; index -= 1) text.delete(index * 2, 1);
  });
  return doc;
}

import * as Y from 'yjs';
import { IndelibleError } from '../errors.ts';
import { checkUpdate, type UpdateLimits } from './update-check.ts';
import { weigh } from './weighed-update.ts';

/** First content of a document: a Y.Doc, or a Yjs update. */
export type FirstContent = Y.Doc | Uint8Array;

/** First content of a document that is not stored yet: a Y.Doc, an update, or nothing. */
export type OnLoad = (name: string) => Promise<FirstContent | null | undefined>;

/** Bounds on the first content of a document; see the settings of the same names. */
export interface ContentLimits {
  readonly update: UpdateLimits;
  readonly document: { readonly documentBytes: number; readonly pendingBytes: number };
}

/**
 * As one update. What cannot be applied would be stored, set aside by the next load, and leave a document blank for good.
 * @throws {@link IndelibleError} `bad_update`, `too_much_pending`, `document_too_large`; whatever Yjs throws when it applies it
 */
export function firstUpdateOf(content: FirstContent, limits: ContentLimits): Uint8Array {
  const update = content instanceof Uint8Array ? content : Y.encodeStateAsUpdate(content);
  const document = new Y.Doc();
  const scales = {
    document,
    pendingBytes: 0,
    storedBytes: 0,
    limits: limits.document,
    contains: () => false,
  };
  const { refusal } = weigh(scales, update, checkUpdate(update, limits.update));
  if (refusal !== null) throw new IndelibleError(refusal);
  Y.applyUpdate(document, update);
  return update;
}

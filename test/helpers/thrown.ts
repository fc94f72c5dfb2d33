import { vi } from 'vitest';
import { OpenDocument } from '../../server/documents/open-document.ts';
import { atTestEnd } from './cleanup.ts';

/** The check leaves no update that is known to make Yjs throw, so the next one is made to, after it was applied. */
export function throwOnNextApply(): void {
  const apply = Reflect.get(OpenDocument.prototype, 'apply');
  const spy = vi.spyOn(OpenDocument.prototype, 'apply');
  spy.mockImplementationOnce(function (this: OpenDocument, ...args) {
    apply.apply(this, args);
    throw new Error('thrown after the document was changed');
  });
  atTestEnd(() => spy.mockRestore());
}

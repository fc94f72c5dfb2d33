import { vi } from 'vitest';
import { OpenDocument } from '../../server/documents/open-document.ts';
import { atTestEnd } from './cleanup.ts';

/**
 * The check leaves no update that is known to make Yjs throw, so one is made to, after it was applied: the next one, or of those
 * that are applied together the so-manieth.
 */
export function throwOnNextApply(count = 1): void {
  let isArmed = true;
  const disarm = () => {
    const wasArmed = isArmed;
    isArmed = false;
    if (wasArmed) throw new Error('thrown after the document was changed');
  };
  const alone: OpenDocument['apply'] = Reflect.get(OpenDocument.prototype, 'apply');
  const together: OpenDocument['applyTogether'] = Reflect.get(OpenDocument.prototype, 'applyTogether');
  const spies = [
    vi.spyOn(OpenDocument.prototype, 'apply').mockImplementation(function (this: OpenDocument, ...args) {
      const news = alone.apply(this, args);
      disarm();
      return news;
    }),
    vi.spyOn(OpenDocument.prototype, 'applyTogether').mockImplementation(function (
      this: OpenDocument,
      take,
      origin,
    ) {
      let taken = 0;
      const takeOrThrow = () => {
        if (taken >= count) disarm();
        taken += 1;
        return take();
      };
      return together.call(this, takeOrThrow, origin);
    }),
  ];
  atTestEnd(() => {
    for (const spy of spies) spy.mockRestore();
  });
}

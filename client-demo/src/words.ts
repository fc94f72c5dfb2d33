import type { Text } from '@codemirror/state';
import { element } from './element.ts';

/** Words are counted when typing pauses, in ms. */
const pause = 250;
const word = /[\p{L}\p{N}]+(?:[’'-][\p{L}\p{N}]+)*/gu;

/** Keeps the count of words up to date. @returns a function that is told of each text */
export function setUpWordCount(): (text: Text) => void {
  const output = element('count', HTMLParagraphElement);
  let timer: ReturnType<typeof setTimeout> | undefined;
  return (text) => {
    clearTimeout(timer);
    timer = setTimeout(() => {
      output.textContent = `${plural(countWords(text), 'word')}, ${plural(text.length, 'character')}`;
    }, pause);
  };
}

function countWords(text: Text): number {
  let count = 0;
  for (const line of text.iterLines()) count += line.match(word)?.length ?? 0;
  return count;
}

function plural(count: number, noun: string): string {
  return `${count.toLocaleString('en')} ${noun}${count === 1 ? '' : 's'}`;
}

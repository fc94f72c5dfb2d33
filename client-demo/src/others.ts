import { element } from './element.ts';
import { type Person, readPerson } from './person.ts';
import type { Awareness } from './session.ts';

/** More would push the text off a phone's screen. */
const maxShown = 12;

/** Keeps the list of the others in the document. @returns a function that stops it */
export function showOthers(awareness: Awareness): () => void {
  const list = element('others', HTMLUListElement);
  const alone = element('alone', HTMLParagraphElement);

  const show = (): void => {
    const ids = [...awareness.getStates().keys()]
      .filter((id) => id !== awareness.clientID)
      .toSorted((a, b) => a - b);
    const chips = ids.slice(0, maxShown).map((id) => chip(readPerson(id, awareness.getStates().get(id))));
    if (ids.length > maxShown) chips.push(item(`and ${ids.length - maxShown} more`));
    list.replaceChildren(...chips);
    alone.hidden = ids.length > 0;
  };
  awareness.on('change', show);
  show();
  return () => awareness.off('change', show);
}

function chip({ name, colour }: Person): HTMLLIElement {
  const avatar = document.createElement('span');
  avatar.className = 'avatar';
  avatar.ariaHidden = 'true';
  avatar.textContent = initial(name);
  avatar.style.setProperty('--colour', colour);
  const label = document.createElement('bdi');
  label.textContent = name;
  const chipItem = item('');
  chipItem.append(avatar, label);
  return chipItem;
}

function initial(name: string): string {
  for (const { segment } of new Intl.Segmenter().segment(name)) return segment.toLocaleUpperCase();
  return '';
}

function item(text: string): HTMLLIElement {
  const li = document.createElement('li');
  li.textContent = text;
  return li;
}

import { element } from './element.ts';
import { type Person, readPerson } from './person.ts';
import type { Session } from './session.ts';

/** More would push the text off a phone's screen. */
const maxShown = 12;
/** Everybody says every 15 s that they are there; who has not for this long may be gone, in ms. */
const silence = 20_000;
/** How often that is looked at, in ms. */
const lookEvery = 5_000;
/** What pressing an avatar is answered with stays for this long, in ms. */
const answerTime = 4_000;

/**
 * Keeps the list of the others in the document.
 * @param jumpTo - goes to the cursor of whose avatar is pressed, and says whether there is one
 * @returns a function that stops it
 */
export function showOthers(session: Session, jumpTo: (id: number) => boolean): () => void {
  const { awareness, turn } = session;
  const list = element('others', HTMLUListElement);
  const alone = element('alone', HTMLParagraphElement);
  // Not where the state of the line is announced, which comes at any time and would take its place.
  const answer = element('answer', HTMLParagraphElement);
  const more = document.createElement('li');
  const items = new Map<number, Item>();

  const choose = (id: number): void => {
    if (jumpTo(id)) return;
    items.get(id)?.answer('no cursor yet');
    answer.textContent = `${readPerson(id, awareness.getStates().get(id)).name} has no cursor in the text yet`;
  };
  const show = (): void => {
    const states = awareness.getStates();
    const ids = [...states.keys()].filter((id) => id !== awareness.clientID).toSorted((a, b) => a - b);
    const shown = ids.slice(0, maxShown);
    for (const [id, { root }] of items) {
      if (shown.includes(id)) continue;
      root.remove();
      items.delete(id);
    }
    for (const id of shown) {
      const item = items.get(id) ?? new Item(() => choose(id));
      if (!items.has(id)) list.insertBefore(item.root, more.parentNode === list ? more : null);
      items.set(id, item);
      const person = readPerson(id, states.get(id));
      const isSilent = Date.now() - (awareness.meta.get(id)?.lastUpdated ?? 0) > silence;
      if (turn.isOf(id)) item.show(person, 'you, in another tab');
      else if (isSilent) item.show({ ...person, isIdle: true }, 'not responding');
      else item.show(person, person.isIdle ? 'idle' : '');
    }
    more.textContent = `and ${ids.length - maxShown} more`;
    if (ids.length > maxShown) list.append(more);
    else more.remove();
    alone.hidden = ids.length > 0;
  };
  awareness.on('change', show);
  const timer = setInterval(show, lookEvery);
  show();
  return () => {
    clearInterval(timer);
    awareness.off('change', show);
    list.replaceChildren();
    answer.textContent = '';
  };
}

/** Somebody in the list. It stays the same element while they are there: a keyboard may be on it. */
class Item {
  readonly root = document.createElement('li');
  readonly #button = document.createElement('button');
  readonly #avatar = document.createElement('span');
  readonly #name = document.createElement('bdi');
  readonly #remark = document.createElement('small');
  #answeredUntil = 0;

  constructor(onChosen: () => void) {
    this.#button.type = 'button';
    this.#button.className = 'person';
    this.#button.addEventListener('click', onChosen);
    this.#avatar.className = 'avatar';
    this.#avatar.ariaHidden = 'true';
    this.#button.append(this.#avatar, this.#name, this.#remark);
    this.root.append(this.#button);
  }

  show({ name, colour, isIdle }: Person, remark: string): void {
    this.#avatar.style.setProperty('--colour', colour);
    setText(this.#avatar, initial(name));
    setText(this.#name, name);
    if (Date.now() > this.#answeredUntil) setText(this.#remark, remark);
    this.#button.title = `Go to the cursor of ${name}`;
    this.#button.classList.toggle('away', isIdle);
  }

  answer(text: string): void {
    this.#answeredUntil = Date.now() + answerTime;
    setText(this.#remark, text);
  }
}

/** Writing the same again would still cost a selection in it. */
function setText(target: HTMLElement, text: string): void {
  if (target.textContent !== text) target.textContent = text;
}

function initial(name: string): string {
  for (const { segment } of new Intl.Segmenter().segment(name)) return segment.toLocaleUpperCase();
  return '';
}

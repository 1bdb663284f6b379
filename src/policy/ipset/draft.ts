/**
 * A state of the sets that commands change, to become the next one when all of them went well; and what the data plane
 * has to be told. A set's elements are copied at the first change to them, once for all commands of a file.
 */
import {
  type ElementColumns, emptyColumns, INTERFACE_SHIFT, LIST_KIND, type ListMember, NOMATCH, PHYSDEV, type SetDefinition, type SetEdit, SETS_MAX,
  WILDCARD,
} from '../sets/edits.js'
import { invalidError, unknownWord } from './error.js'
import { addressMask } from './options.js'
import { type ElementSet, isLive, type ListSet, type MemberElement, type NamedSet, type SetElement, type SetsState } from './state.js'
import type { Word } from './words.js'

export interface IpsetContext {
  /** Milliseconds on the clock that the state's elements expire by. */
  readonly now: number
  /** 32 random bits. */
  readonly random: () => number
  /** How many rules name a set. */
  readonly referencesOf: (name: string) => number
}

/** Elements of one edit: what the data plane takes between two turns. */
const ELEMENTS_PER_EDIT = 512

export const millisecondsLeft = (expires: number, now: number): number => (expires === 0 ? 0 : Math.max(1, expires - now))

export const definitionOf = (set: NamedSet): SetDefinition => {
  const { timeout, counters } = set.options
  if (set.kind === LIST_KIND) return { kind: set.kind, timeout, counters }
  const { maxElements, hashSize, initval, forceAdd } = set.options
  return { kind: set.kind, timeout, counters, maxElements, hashSize, seed: initval, mask: addressMask(set.options), forceAdd }
}

/** Makes edits of elements, many to an edit where they follow each other. */
export class EditList {
  readonly edits: SetEdit[] = []
  readonly #now: number
  readonly #interfaces = new Map<string, number>()

  constructor(now: number) {
    this.#now = now
  }

  push(edit: SetEdit): void {
    this.edits.push(edit)
  }

  /** @param keeps the element is there, and its counters stay as they are */
  element(op: 'add' | 'remove', set: ElementSet, element: SetElement, keepsPackets = false, keepsBytes = false): void {
    const columns = this.#columns(op, set)
    columns.addresses.push(element.address)
    columns.parts.push(this.#part(set, element, columns.interfaces))
    columns.milliseconds?.push(millisecondsLeft(element.expires, this.#now))
    columns.packets?.push(keepsPackets ? -1 : element.packets)
    columns.bytes?.push(keepsBytes ? -1 : element.bytes)
  }

  #columns(op: 'add' | 'remove', { id, options }: ElementSet): ElementColumns {
    const last = this.edits.at(-1)
    if (last?.op === op && last.id === id && last.elements.addresses.length < ELEMENTS_PER_EDIT) return last.elements
    const elements = emptyColumns(options)
    this.#interfaces.clear()
    this.edits.push({ op, id, elements })
    return elements
  }

  #part({ kind }: ElementSet, element: SetElement, names: string[]): number {
    if (kind === 'hash:ip' || kind === 'hash:ip,port') return element.part
    const flags = (element.nomatch ? NOMATCH : 0) | (element.physdev ? PHYSDEV : 0) | (element.wildcard ? WILDCARD : 0)
    if (kind === 'hash:net') return element.part | flags
    let number = this.#interfaces.get(element.interface)
    if (number === undefined) this.#interfaces.set(element.interface, (number = names.push(element.interface) - 1))
    return element.part | flags | (number << INTERFACE_SHIFT)
  }
}

export class SetsDraft {
  readonly context: IpsetContext
  readonly edits: EditList
  readonly #before: SetsState
  readonly #sets: Map<string, NamedSet>
  /** Element maps that belong to this draft alone. */
  readonly #own = new Set<ReadonlyMap<string, SetElement>>()
  #changed = false

  constructor(state: SetsState, context: IpsetContext) {
    this.context = context
    this.edits = new EditList(context.now)
    this.#before = state
    this.#sets = new Map(state.sets)
  }

  /** The next state; the one before when nothing changed. */
  state(): SetsState {
    return this.#changed ? { sets: this.#sets } : this.#before
  }

  /** Sets in the order in which they are listed: by id, lists last. */
  all(): NamedSet[] {
    const isList = ({ kind }: NamedSet): number => (kind === LIST_KIND ? 1 : 0)
    return [...this.#sets.values()].sort((a, b) => isList(a) - isList(b) || a.id - b.id)
  }

  find(name: string): NamedSet | undefined {
    return this.#sets.get(name)
  }

  existing(word: Word): NamedSet {
    const set = this.#sets.get(word.text)
    if (set !== undefined) return set
    const names = [...this.#sets.keys()]
    throw names.length === 0 ? invalidError(word, `there is no set "${word.text}"`, 'there are no sets at all') : unknownWord(word, 'set', names)
  }

  put(set: NamedSet): void {
    this.#changed = true
    this.#sets.set(set.name, set)
  }

  drop(name: string): void {
    this.#changed = true
    this.#sets.delete(name)
  }

  freeId(word: Word): number {
    const taken = new Set([...this.#sets.values()].map(({ id }) => id))
    for (let id = 0; id < SETS_MAX; id++) if (!taken.has(id)) return id
    throw invalidError(word, `there are ${SETS_MAX} sets, as many as there can be`)
  }

  /** How many rules and lists name the set. */
  references(name: string): number {
    let count = this.context.referencesOf(name)
    for (const set of this.#sets.values()) if (set.kind === LIST_KIND) for (const member of this.members(set)) if (member.name === name) count++
    return count
  }

  /** Elements of a set, to be changed. Expired ones are gone. */
  elements(name: string): Map<string, SetElement> {
    const set = this.#sets.get(name) as ElementSet
    if (this.#own.has(set.elements)) return set.elements as Map<string, SetElement>
    const elements = new Map<string, SetElement>()
    for (const [text, element] of set.elements) if (isLive(element, this.context.now)) elements.set(text, element)
    this.#own.add(elements)
    this.put({ ...set, elements })
    return elements
  }

  /** Members of a list that have not expired. */
  members(list: ListSet): MemberElement[] {
    return list.members.filter((member) => isLive(member, this.context.now))
  }

  setMembers(list: ListSet, members: readonly MemberElement[]): void {
    this.put({ ...list, members })
    this.edits.push({ op: 'members', id: list.id, members: members.map((member) => this.#exported(member)) })
  }

  #exported({ name, expires, packets, bytes }: MemberElement): ListMember {
    return { id: this.#sets.get(name)!.id, milliseconds: millisecondsLeft(expires, this.context.now), packets, bytes }
  }
}

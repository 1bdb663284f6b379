/** `create`, `destroy`, `flush`, `rename` and `swap`. */
import { LIST_KIND } from '../sets/edits.js'
import { definitionOf, type SetsDraft } from './draft.js'
import { invalidError, syntaxError } from './error.js'
import { parseHashOptions, parseKind, parseListOptions } from './options.js'
import type { NamedSet } from './state.js'
import type { Word } from './words.js'

const NAME_MAX = 31

const parseSetName = (word: Word): string => {
  const { text } = word
  if (text === '') throw syntaxError(word, 'the name of the set is empty')
  if (Buffer.byteLength(text) > NAME_MAX) throw syntaxError(word, `"${text}" is too long for a set's name`, `at most ${NAME_MAX} bytes`)
  if (/[\s"'\\\p{Cc}]/u.test(text) || text.startsWith('-')) throw syntaxError(word, `"${text}" cannot be a set's name`, 'no blanks, no quotes, no "-" at the beginning')
  return text
}

/** Whether two sets would hold the same: the index's size and seed do not count. */
const isSame = (one: NamedSet, other: NamedSet): boolean => {
  if (one.kind !== other.kind) return false
  const essence = (set: NamedSet): string => {
    const { timeout, counters, comment } = set.options
    if (set.kind === LIST_KIND) return JSON.stringify([timeout, counters, comment, set.options.size])
    return JSON.stringify([timeout, counters, comment, set.options.maxElements, set.options.netmask, set.options.bitmask])
  }
  return essence(one) === essence(other)
}

export const createSet = (draft: SetsDraft, nameWord: Word, kindWord: Word, rest: readonly Word[], exist: boolean): void => {
  const name = parseSetName(nameWord)
  const kind = parseKind(kindWord)
  const old = draft.find(name)
  const id = old?.id ?? draft.freeId(nameWord)
  const set: NamedSet = kind === LIST_KIND
    ? { id, name, kind, options: parseListOptions(rest), members: [] }
    : { id, name, kind, options: parseHashOptions(kind, rest, draft.context.random), elements: new Map() }
  if (old !== undefined) {
    if (exist && isSame(old, set)) return
    throw invalidError(nameWord, `there is a set "${name}" already${exist ? ', of another type or with other options' : ''}`)
  }
  draft.put(set)
  draft.edits.push({ op: 'create', id, definition: definitionOf(set) })
}

const checkUnused = (draft: SetsDraft, word: Word, name: string, what: string): void => {
  const references = draft.references(name)
  if (references > 0) throw invalidError(word, `set "${name}" cannot be ${what}: it is named by ${references} ${references === 1 ? 'rule or list' : 'rules and lists'}`)
}

/** @param nameWord undefined: all sets, if none of them is in use */
export const destroySets = (draft: SetsDraft, verb: Word, nameWord: Word | undefined): void => {
  const sets = nameWord === undefined ? draft.all() : [draft.existing(nameWord)]
  for (const { name } of sets) checkUnused(draft, nameWord ?? verb, name, 'destroyed')
  for (const { id, name } of sets) {
    draft.drop(name)
    draft.edits.push({ op: 'destroy', id })
  }
}

/** @param nameWord undefined: all sets */
export const flushSets = (draft: SetsDraft, nameWord: Word | undefined): void => {
  for (const set of nameWord === undefined ? draft.all() : [draft.existing(nameWord)]) {
    draft.put(set.kind === LIST_KIND ? { ...set, members: [] } : { ...set, elements: new Map() })
    draft.edits.push({ op: 'flush', id: set.id })
  }
}

export const renameSet = (draft: SetsDraft, from: Word, to: Word): void => {
  const set = draft.existing(from)
  const name = parseSetName(to)
  if (draft.find(name) !== undefined) throw invalidError(to, `there is a set "${name}" already`)
  checkUnused(draft, from, set.name, 'renamed')
  draft.drop(set.name)
  draft.put({ ...set, name })
}

/** Exchanges what two sets of one type hold, options included; rules and lists go by the names, as before. */
export const swapSets = (draft: SetsDraft, from: Word, to: Word): void => {
  const first = draft.existing(from)
  const second = draft.existing(to)
  if (first.kind !== second.kind) throw invalidError(to, `set "${first.name}" is of type ${first.kind}, "${second.name}" of type ${second.kind}`, 'both must be of one type')
  if (first === second) return
  draft.put({ ...second, id: first.id, name: first.name })
  draft.put({ ...first, id: second.id, name: second.name })
  draft.edits.push({ op: 'swap', first: first.id, second: second.id })
}

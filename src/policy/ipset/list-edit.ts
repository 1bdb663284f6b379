/** `add`, `del` and `test` of the members of a list. */
import { LIST_KIND } from '../sets/edits.js'
import type { SetsDraft } from './draft.js'
import { invalidError, syntaxError } from './error.js'
import { type ElementOptions, parseElementOptions } from './options.js'
import type { ListSet, MemberElement } from './state.js'
import type { Word } from './words.js'

/** Checks that the word names a set that can be in a list. */
const checkMember = (draft: SetsDraft, entry: Word): void => {
  if (draft.existing(entry).kind === LIST_KIND) throw invalidError(entry, `"${entry.text}" is a list itself`, 'lists hold sets that are no lists')
}

const isPlaced = (members: readonly MemberElement[], index: number, { before, after }: ElementOptions): boolean =>
  (before === null || members[index + 1]?.name === before.text) && (after === null || members[index - 1]?.name === after.text)

/** Where a new member goes. */
const placeOf = (list: ListSet, members: readonly MemberElement[], { before, after }: ElementOptions): number => {
  const reference = before ?? after
  if (reference === null) return members.length
  const index = members.findIndex(({ name }) => name === reference.text)
  if (index < 0) throw invalidError(reference, `"${reference.text}" is not in list "${list.name}"`)
  return before === null ? index + 1 : index
}

export const addMember = (draft: SetsDraft, list: ListSet, entry: Word, rest: readonly Word[], exist: boolean): void => {
  const options = parseElementOptions('add', list.kind, list.options, rest)
  checkMember(draft, entry)
  const members = draft.members(list)
  const reference = options.before ?? options.after
  if (reference?.text === entry.text) throw syntaxError(reference, 'a member cannot stand before or behind itself')
  const place = placeOf(list, members, options)
  const index = members.findIndex(({ name }) => name === entry.text)
  const old = members[index]
  if (old !== undefined && !exist) throw invalidError(entry, `"${entry.text}" is in list "${list.name}" already`, 'with -exist it is no error')
  const seconds = options.timeout ?? list.options.timeout ?? 0
  const member: MemberElement = {
    name: entry.text,
    expires: seconds === 0 ? 0 : draft.context.now + seconds * 1000,
    packets: options.packets ?? old?.packets ?? 0,
    bytes: options.bytes ?? old?.bytes ?? 0,
    comment: options.comment,
  }
  draft.setMembers(list, old === undefined ? members.toSpliced(place, 0, member) : members.with(index, member))
}

export const removeMember = (draft: SetsDraft, list: ListSet, entry: Word, rest: readonly Word[], exist: boolean): void => {
  const options = parseElementOptions('del', list.kind, list.options, rest)
  checkMember(draft, entry)
  const members = draft.members(list)
  const index = members.findIndex(({ name }) => name === entry.text)
  if (index >= 0 && isPlaced(members, index, options)) draft.setMembers(list, members.toSpliced(index, 1))
  else if (options.before !== null || options.after !== null) throw invalidError(entry, `"${entry.text}" is not there in list "${list.name}"`)
  else if (!exist) throw invalidError(entry, `"${entry.text}" is not in list "${list.name}"`, 'with -exist it is no error')
}

export const testMember = (draft: SetsDraft, list: ListSet, entry: Word, rest: readonly Word[]): { text: string; isIn: boolean } => {
  const options = parseElementOptions('test', list.kind, list.options, rest)
  checkMember(draft, entry)
  const members = draft.members(list)
  const index = members.findIndex(({ name }) => name === entry.text)
  const { before, after } = options
  const place = before !== null ? ` before ${before.text}` : after !== null ? ` after ${after.text}` : ''
  return { text: `${entry.text}${place}`, isIn: index >= 0 && isPlaced(members, index, options) }
}

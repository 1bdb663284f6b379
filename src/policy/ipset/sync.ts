/** Between the control plane's state of the sets and that of the data plane. */
import { type ElementColumns, INTERFACE_SHIFT, LIST_KIND, type ListMember, NOMATCH, PHYSDEV, PREFIX_BITS, type SetEdit, WILDCARD } from '../sets/edits.js'
import { definitionOf, EditList, millisecondsLeft } from './draft.js'
import { keyText } from './elements.js'
import { type ElementSet, isLive, type SetElement, type SetsState } from './state.js'

/** Edits that give an empty data plane all sets of a state. */
export const editsOf = (state: SetsState, now: number): SetEdit[] => {
  const list = new EditList(now)
  for (const set of state.sets.values()) list.push({ op: 'create', id: set.id, definition: definitionOf(set) })
  for (const set of state.sets.values()) {
    if (set.kind === LIST_KIND) {
      const members = set.members.filter((member) => isLive(member, now)).map(({ name, expires, packets, bytes }): ListMember =>
        ({ id: state.sets.get(name)!.id, milliseconds: millisecondsLeft(expires, now), packets, bytes }))
      list.push({ op: 'members', id: set.id, members })
    } else {
      for (const element of set.elements.values()) if (isLive(element, now)) list.element('add', set, element)
    }
  }
  return list.edits
}

const toElement = (set: ElementSet, columns: ElementColumns, index: number, now: number): SetElement => {
  const part = columns.parts[index]!
  const isNet = set.kind === 'hash:net' || set.kind === 'hash:net,iface'
  const milliseconds = columns.milliseconds?.[index] ?? 0
  return {
    address: columns.addresses[index]!,
    part: isNet ? part & PREFIX_BITS : part,
    interface: set.kind === 'hash:net,iface' ? columns.interfaces[part >>> INTERFACE_SHIFT]! : '',
    physdev: isNet && (part & PHYSDEV) !== 0,
    wildcard: isNet && (part & WILDCARD) !== 0,
    nomatch: isNet && (part & NOMATCH) !== 0,
    expires: milliseconds === 0 ? 0 : now + milliseconds,
    packets: columns.packets?.[index] ?? 0,
    bytes: columns.bytes?.[index] ?? 0,
    comment: null,
  }
}

/**
 * Takes over what the data plane has in a set. Comments are the control plane's own and stay with their elements.
 * @param pages all pages of the set, in order
 */
export const takeElements = (state: SetsState, name: string, pages: readonly ElementColumns[], now: number): SetsState => {
  const set = state.sets.get(name)
  if (set === undefined || set.kind === LIST_KIND) return state
  const elements = new Map<string, SetElement>()
  for (const columns of pages) {
    for (let index = 0; index < columns.addresses.length; index++) {
      const element = toElement(set, columns, index, now)
      const text = keyText(set.kind, element)
      const comment = set.elements.get(text)?.comment ?? null
      elements.set(text, comment === null ? element : { ...element, comment })
    }
  }
  return { sets: new Map(state.sets).set(name, { ...set, elements }) }
}

/** The same for the counters of a list's members. */
export const takeMembers = (state: SetsState, name: string, members: readonly ListMember[]): SetsState => {
  const set = state.sets.get(name)
  if (set === undefined || set.kind !== LIST_KIND) return state
  const counted = new Map(members.map((member) => [member.id, member]))
  return {
    sets: new Map(state.sets).set(name, {
      ...set,
      members: set.members.map((member) => {
        const now = counted.get(state.sets.get(member.name)!.id)
        return now === undefined ? member : { ...member, packets: now.packets, bytes: now.bytes }
      }),
    }),
  }
}

/**
 * All sets of the data plane, by id: lookups and edits for packets (`-m set`, `-j SET`), edits from the control plane.
 *
 * A set without a table is not there: nothing is in it. Edits that name such a set, or elements that are not there, do
 * nothing: the control plane has checked before, and only the data plane's own changes since can make a difference.
 */
import { maskOf } from '../../stack/wire/address.js'
import { DIMENSIONS, type ElementColumns, INTERFACE_SHIFT, LIST_KIND, type ListMember, type SetEdit, type SetPage, SETS_MAX } from './edits.js'
import { InterfaceNames, NO_INTERFACE } from './interface-names.js'
import { MemberList } from './member-list.js'
import { type MatchOptions, type PacketFacts, SetQuery } from './query.js'
import { ADDED, EXCLUDED, FULL, HIT, SetTable } from './set-table.js'

/** For `seconds`: the set's own timeout. */
export const OWN_TIMEOUT = -1

const LOW_BITS = (1 << INTERFACE_SHIFT) - 1

export class SetStore {
  readonly interfaces = new InterfaceNames()
  readonly #sets = new Array<SetTable | MemberList | null>(SETS_MAX).fill(null)
  readonly #query = new SetQuery()
  #swept = 0
  /** Elements that found no room. */
  refused = 0

  /** Takes a change of the control plane. An edit must carry a moderate number of elements: packets wait meanwhile. */
  apply(edit: SetEdit, now: number): void {
    switch (edit.op) {
      case 'create':
        this.#sets[edit.id] = edit.definition.kind === LIST_KIND ? new MemberList(edit.definition) : new SetTable(edit.definition, this.interfaces)
        break
      case 'destroy':
        this.#sets[edit.id] = null
        break
      case 'flush':
        this.#sets[edit.id]?.flush()
        break
      case 'swap': {
        const first = this.#sets[edit.first]!
        this.#sets[edit.first] = this.#sets[edit.second]!
        this.#sets[edit.second] = first
        break
      }
      case 'add':
      case 'remove': {
        const set = this.#sets[edit.id]
        if (set instanceof SetTable) this.#applyElements(set, edit.op, edit.elements, now)
        break
      }
      case 'members': {
        const set = this.#sets[edit.id]
        if (set instanceof MemberList) set.replace(edit.members, now)
        break
      }
    }
  }

  /** Elements of a set, or null when it has none to show. The page costs time in proportion to `limit`. */
  page(id: number, from: number, limit: number, now: number): SetPage | null {
    const set = this.#sets[id]
    return set instanceof SetTable ? set.page(from, limit, now) : null
  }

  /** Members of a list, with their counters and the time left to them; null for another set. */
  members(id: number, now: number): ListMember[] | null {
    const set = this.#sets[id]
    return set instanceof MemberList ? set.export(now) : null
  }

  /** Elements, expired ones included that were not swept yet; 0 for a list. */
  size(id: number): number {
    const set = this.#sets[id]
    return set instanceof SetTable ? set.size : 0
  }

  /** Bytes in use by the tables of a set; 0 for a list. */
  bytes(id: number): number {
    const set = this.#sets[id]
    return set instanceof SetTable ? set.bytes : 0
  }

  /** Frees expired elements: looks at that many records of one set, the next set at the next call. */
  sweep(now: number, records: number): void {
    for (let tried = 0; tried < SETS_MAX; tried++) {
      this.#swept = (this.#swept + 1) % SETS_MAX
      const set = this.#sets[this.#swept]
      if (set instanceof SetTable && set.definition.timeout !== null && set.size > 0) {
        set.sweep(now, records)
        return
      }
    }
  }

  /**
   * `-m set --match-set`: whether the packet is in the set.
   * @param directions bit n is set when part n (from 0) of an element is compared with the packet's source side
   * @param parts directions given: a set whose elements have more parts holds nothing
   */
  matches(id: number, facts: PacketFacts, directions: number, parts: number, options: MatchOptions, now: number): boolean {
    const set = this.#sets[id]
    if (set instanceof MemberList) return this.#matchesList(set, facts, directions, parts, options, now)
    return set instanceof SetTable &&
      this.#matchesTable(set, facts, directions, parts, options, options.updateCounters, true, now)
  }

  /**
   * `-j SET --add-set`. Of a list, the first member that takes the packet gets it.
   * @param exist an element that is there gets its timeout and its counters anew
   * @param seconds until it expires, 0: never; OWN_TIMEOUT
   * @returns whether an element was added or made anew
   */
  add(id: number, facts: PacketFacts, directions: number, parts: number, exist: boolean, seconds: number, now: number): boolean {
    const set = this.#sets[id]
    if (set instanceof SetTable) return this.#addTo(set, facts, directions, parts, exist, seconds, now)
    if (!(set instanceof MemberList)) return false
    for (let index = 0; index < set.count; index++) {
      const member = set.isExpired(index, now) ? null : this.#sets[set.ids[index]!]
      if (member instanceof SetTable && this.#addTo(member, facts, directions, parts, exist, seconds, now)) return true
    }
    return false
  }

  /** `-j SET --del-set`. Of a list, the first member that has the element loses it. Returns whether there was one. */
  remove(id: number, facts: PacketFacts, directions: number, parts: number, now: number): boolean {
    const set = this.#sets[id]
    if (set instanceof SetTable) return this.#removeFrom(set, facts, directions, parts, now)
    if (!(set instanceof MemberList)) return false
    for (let index = 0; index < set.count; index++) {
      const member = set.isExpired(index, now) ? null : this.#sets[set.ids[index]!]
      if (member instanceof SetTable && this.#removeFrom(member, facts, directions, parts, now)) return true
    }
    return false
  }

  #matchesTable(
    set: SetTable, facts: PacketFacts, directions: number, parts: number, options: MatchOptions, updates: boolean, compares: boolean, now: number,
  ): boolean {
    if (!this.#ask(set, facts, directions, parts)) return false
    const query = this.#query
    query.now = now
    query.length = facts.length
    query.updateCounters = updates
    query.packets = compares ? options.packets : null
    query.bytes = compares ? options.bytes : null
    const wanted = options.returnNoMatch && (set.definition.kind === 'hash:net' || set.definition.kind === 'hash:net,iface') ? EXCLUDED : HIT
    return set.test(query) === wanted
  }

  #matchesList(set: MemberList, facts: PacketFacts, directions: number, parts: number, options: MatchOptions, now: number): boolean {
    const updates = options.updateCounters && options.updateSubcounters
    for (let index = 0; index < set.count; index++) {
      const member = this.#sets[set.ids[index]!]
      if (!(member instanceof SetTable) || set.isExpired(index, now)) continue
      if (!this.#matchesTable(member, facts, directions, parts, options, updates, false, now)) continue
      if (set.accepts(index, facts.length, options)) return true
    }
    return false
  }

  #addTo(set: SetTable, facts: PacketFacts, directions: number, parts: number, exist: boolean, seconds: number, now: number): boolean {
    if (!this.#key(set, facts, directions, parts)) return false
    const timeout = seconds === OWN_TIMEOUT ? (set.definition.timeout ?? 0) : seconds
    const result = set.add(this.#query.address, this.#query.part, exist, timeout * 1000, 1, facts.length, now, false)
    if (result === FULL) this.refused++
    return result === ADDED
  }

  #removeFrom(set: SetTable, facts: PacketFacts, directions: number, parts: number, now: number): boolean {
    return this.#key(set, facts, directions, parts) && set.remove(this.#query.address, this.#query.part, now)
  }

  /** Fills the query from the packet; false when the packet has not what the set's elements consist of. */
  #ask(set: SetTable, facts: PacketFacts, directions: number, parts: number): boolean {
    const { kind, mask } = set.definition
    if (parts < DIMENSIONS[kind]) return false
    const query = this.#query
    query.address = (directions & 1) !== 0 ? facts.source : facts.destination
    query.part = 0
    switch (kind) {
      case 'hash:ip': return (query.address & mask) !== 0
      case 'hash:net': return true
      case 'hash:ip,port':
        query.part = (facts.protocol << 16) | ((directions & 2) !== 0 ? facts.sourcePort : facts.destinationPort)
        return facts.hasPorts && (query.address & mask) !== 0
      default:
        query.interface = (directions & 2) !== 0 ? facts.inInterface : facts.outInterface
        return query.interface !== NO_INTERFACE
    }
  }

  /** The same, as the element that the packet would be. */
  #key(set: SetTable, facts: PacketFacts, directions: number, parts: number): boolean {
    if (!this.#ask(set, facts, directions, parts)) return false
    const query = this.#query
    const { kind, mask } = set.definition
    if (kind === 'hash:ip' || kind === 'hash:ip,port') {
      query.address &= mask
      return true
    }
    const length = set.packetPrefix
    query.address &= maskOf(length)
    query.part = kind === 'hash:net' ? length : length | (query.interface << INTERFACE_SHIFT)
    return true
  }

  #applyElements(set: SetTable, op: 'add' | 'remove', elements: ElementColumns, now: number): void {
    const { addresses, parts, milliseconds, packets, bytes } = elements
    const interfaces = elements.interfaces.map((name) => this.interfaces.numberOf(name))
    for (let index = 0; index < addresses.length; index++) {
      let part = parts[index]!
      if (interfaces.length > 0) {
        const number = interfaces[part >>> INTERFACE_SHIFT]!
        if (number < 0) {
          this.refused++
          continue
        }
        part = (part & LOW_BITS) | (number << INTERFACE_SHIFT)
      }
      if (op === 'remove') set.remove(addresses[index]!, part, now)
      else if (set.add(addresses[index]!, part, true, milliseconds?.[index] ?? 0, packets?.[index] ?? -1, bytes?.[index] ?? -1, now, true) === FULL) this.refused++
    }
  }
}


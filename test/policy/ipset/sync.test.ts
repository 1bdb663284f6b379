/** The control plane's state and the data plane's tables hold the same, whatever the commands. */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { TsnatError } from '../../../src/errors.js'
import { editsOf, type SetsState, takeElements, takeMembers } from '../../../src/policy/ipset/index.js'
import type { ElementColumns } from '../../../src/policy/sets/edits.js'
import { OWN_TIMEOUT, SetStore } from '../../../src/policy/sets/set-store.js'
import { parseIpv4 } from '../../../src/stack/wire/address.js'
import { Sets } from './support.js'

const pagesOf = (store: SetStore, id: number, now: number): ElementColumns[] => {
  const pages: ElementColumns[] = []
  for (let from = 0; from >= 0;) {
    const page = store.page(id, from, 3, now)!
    pages.push(page.elements)
    from = page.next
  }
  return pages
}

/** A state with all that the data plane has. */
const taken = (state: SetsState, store: SetStore, now: number): SetsState => {
  let next = state
  for (const { id, name, kind } of state.sets.values()) {
    next = kind === 'list:set' ? takeMembers(next, name, store.members(id, now)!) : takeElements(next, name, pagesOf(store, id, now), now)
  }
  return next
}

const saved = (sets: Sets, state: SetsState): string[] => {
  const copy = new Sets()
  copy.state = state
  copy.now = sets.now
  return copy.run('save').output.split('\n').sort()
}

const CREATIONS = [
  'create a hash:ip timeout 60 comment maxelem 5', 'create b hash:net counters', 'create c hash:ip,port netmask 30', 'create d hash:net,iface timeout 5 counters',
  'create l list:set counters timeout 9', 'create f hash:ip maxelem 3 forceadd', 'create b2 hash:net',
]
const host = fc.tuple(fc.nat(1), fc.integer({ min: 1, max: 8 })).map(([net, number]) => `10.0.${net}.${number}`)
const net = fc.tuple(host, fc.constantFrom('', '/30', '/24', '/8')).map(([address, length]) => address + length)
const command = fc.tuple(fc.constantFrom('add', 'add', 'add', 'del'), fc.oneof(
  fc.tuple(fc.constant('a'), host, fc.constantFrom('', ' comment x', ' timeout 0', ' timeout 3')),
  fc.tuple(fc.constant('b'), net, fc.constantFrom('', ' packets 5', ' nomatch')),
  fc.tuple(fc.constant('c'), fc.tuple(host, fc.constantFrom('80', 'udp:5-7', 'icmp:ping')).map((parts) => parts.join(',')), fc.constant('')),
  fc.tuple(fc.constant('d'), fc.tuple(net, fc.constantFrom('eth0', 'eth', 'physdev:eth0')).map((parts) => parts.join(',')), fc.constantFrom('', ' nomatch', ' wildcard', ' timeout 2')),
  fc.tuple(fc.constant('l'), fc.constantFrom('a', 'b', 'c'), fc.constantFrom('', ' before a', ' packets 7')),
  fc.tuple(fc.constant('f'), host, fc.constant('')),
), fc.constantFrom('', ' -exist')).map(([verb, [name, element, rest], exist]) => `${verb} ${name} ${element}${verb === 'add' ? rest : ''}${exist}`)
const other = fc.constantFrom('flush a', 'flush l', 'swap b b2', 'swap a f', 'rename c q', 'rename q c', 'destroy f', 'create f hash:ip maxelem 3 forceadd')
const steps = fc.array(fc.record({ command: fc.oneof({ weight: 9, arbitrary: command }, { weight: 1, arbitrary: other }), pause: fc.constantFrom(0, 0, 0, 700, 3000) }), { maxLength: 80 })

describe('the data plane', () => {
  it('has what the control plane has, after each command', () => {
    fc.assert(fc.property(steps, (list) => {
      const sets = new Sets()
      const store = new SetStore()
      const run = (each: string): void => {
        sets.edits = []
        try {
          sets.run(each)
        } catch (error) {
          if (!(error instanceof TsnatError)) throw error
        }
        for (const edit of sets.edits) store.apply(edit, sets.now)
      }
      CREATIONS.forEach(run)
      for (const { command: each, pause } of list) {
        run(each)
        sets.now += pause
      }
      expect(saved(sets, taken(sets.state, store, sets.now))).toEqual(saved(sets, sets.state))
      expect(store.refused).toBe(0)
      // Timeouts are listed in seconds, and what is left of the last one is not known to the tables alone.
      const fresh = new SetStore()
      for (const edit of editsOf(sets.state, sets.now)) fresh.apply(edit, sets.now)
      expect(saved(sets, taken(sets.state, fresh, sets.now))).toEqual(saved(sets, sets.state))
    }), { numRuns: 150 })
  })

  it('gives back what packets did to its sets; comments stay', () => {
    const sets = new Sets()
    const store = new SetStore()
    sets.all('create a hash:ip timeout 60 counters comment', 'add a 10.0.0.1 comment mine', 'create l list:set counters', 'add l a')
    for (const edit of sets.edits) store.apply(edit, sets.now)
    const facts = {
      source: parseIpv4('10.0.0.2')!, destination: parseIpv4('10.0.0.1')!, protocol: 17, sourcePort: 1, destinationPort: 2, hasPorts: true,
      inInterface: 0, outInterface: 0, length: 50,
    }
    store.add(0, facts, 1, 1, false, OWN_TIMEOUT, sets.now)
    const options = { returnNoMatch: false, updateCounters: true, updateSubcounters: true, packets: null, bytes: null }
    expect(store.matches(1, facts, 0, 1, options, sets.now)).toBe(true)
    sets.now += 1000
    sets.state = taken(sets.state, store, sets.now)
    expect(sets.elements('a')).toEqual(['10.0.0.1 timeout 59 packets 1 bytes 50 comment "mine"', '10.0.0.2 timeout 59 packets 1 bytes 50'])
    expect(sets.elements('l')).toEqual(['a packets 1 bytes 50'])
  })
})

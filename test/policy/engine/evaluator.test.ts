import { describe, expect, it } from 'vitest'
import {
  ACCEPT, compileRuleset, DEPENDS_CONNMARK, DEPENDS_FLAGS, DEPENDS_MARK, DEPENDS_PACKET, DEPENDS_ROUTES, DEPENDS_SETS, DEPENDS_STATUS, DROP, type TraceRecorder,
} from '../../../src/policy/engine/index.js'
import { FAILED_DESTINATION, FAILED_MATCH, FAILED_PROTOCOL, MATCHED } from '../../../src/policy/engine/trace.js'
import { runIptables } from '../../../src/policy/iptables/index.js'
import { Bed, ip, packetOf, rulesetOf, TestEnvironment } from './support.js'

const chains = (...lines: string[]): Bed => new Bed(['*filter', ...lines, 'COMMIT'].join('\n'))

describe('chains', () => {
  it('return to where a jump came from, and from a goto to the jump before it', () => {
    const bed = chains(
      ':one - [0:0]', ':two - [0:0]', ':three - [0:0]', '-A FORWARD -j one', '-A FORWARD -j DROP',
      '-A one -j two', '-A one -g three', '-A one -j DROP', '-A two -j RETURN', '-A two -j DROP', '-A three -m comment --comment end',
    )
    expect(bed.verdict(packetOf())).toBe(DROP)
    expect(bed.path().slice(1)).toEqual(['filter FORWARD 1', 'filter one 1', 'filter two 1', 'filter one 2', 'filter three 1', 'filter FORWARD 2'])
  })

  it('end with the policy after a goto or RETURN in the built-in chain', () => {
    const gone = chains(':FORWARD DROP [0:0]', ':one - [0:0]', '-A FORWARD -g one', '-A FORWARD -j ACCEPT', '-A one -s 1.1.1.1')
    expect(gone.verdict(packetOf())).toBe(DROP)
    expect(gone.path().slice(1)).toEqual(['filter FORWARD 1', 'filter FORWARD 0'])
    const returned = chains(':FORWARD DROP [0:0]', '-A FORWARD -j RETURN', '-A FORWARD -j ACCEPT')
    expect(returned.verdict(packetOf())).toBe(DROP)
    expect(returned.counters('filter FORWARD 0')).toEqual([1, 60])
  })

  it('may be nested deeply', () => {
    const names = Array.from({ length: 300 }, (_, index) => `c${index}`)
    const bed = chains(
      ...names.map((name) => `:${name} - [0:0]`), '-A FORWARD -j c0', ...names.slice(1).map((name, index) => `-A ${names[index]!} -j ${name}`), '-A c299 -j DROP',
    )
    expect(bed.verdict(packetOf())).toBe(DROP)
    expect(bed.counters('filter c299 1')).toEqual([1, 60])
  })

  it('of user chains are the same to two that jump into them at once', () => {
    const many = Array.from({ length: 40 }, (_, index) => `-A hosts -d 198.51.100.${index}/32 -j RETURN`)
    const bed = chains(':hosts - [0:0]', '-A FORWARD -j hosts', '-A FORWARD -j hosts', '-A FORWARD -j DROP', ...many)
    expect(bed.verdict(packetOf())).toBe(DROP)
    expect(bed.counters('filter hosts 2')).toEqual([2, 120])
  })
})

describe('tables', () => {
  it('are asked in the order of the kernel until one drops', () => {
    const bed = new Bed([
      '*raw', '-A PREROUTING', 'COMMIT', '*mangle', '-A PREROUTING', '-A FORWARD', '-A POSTROUTING', 'COMMIT', '*nat', '-A PREROUTING', '-A POSTROUTING', 'COMMIT',
      '*filter', '-A FORWARD -j DROP', 'COMMIT',
    ].join('\n'))
    bed.run('PREROUTING', packetOf())
    expect(bed.path()).toEqual(['raw PREROUTING 1', 'raw PREROUTING 0', 'mangle PREROUTING 1', 'mangle PREROUTING 0', 'nat PREROUTING 1', 'nat PREROUTING 0'])
    expect(bed.run('FORWARD', packetOf()).verdict).toBe(DROP)
    expect(bed.path()).toEqual(['mangle FORWARD 1', 'mangle FORWARD 0', 'filter FORWARD 1'])
    bed.run('POSTROUTING', packetOf())
    expect(bed.path()).toEqual(['mangle POSTROUTING 1', 'mangle POSTROUTING 0', 'nat POSTROUTING 1', 'nat POSTROUTING 0'])
  })
})

describe('what an outcome depends on', () => {
  const depends = (rule: string, change = {}): number => {
    const bed = new Bed(rule.startsWith('*') ? rule : `-A FORWARD ${rule}`)
    return bed.run('FORWARD', packetOf(change)).depends
  }

  it('is nothing but the flow, its side and its state for addresses, ports, protocols, interfaces and states', () => {
    expect(depends('-s 10.0.0.0/8 -i eth0 -p tcp -m multiport --dports 80 -m conntrack --ctstate NEW --ctdir ORIGINAL --ctorigsrc 10.0.0.2 -j ACCEPT')).toBe(0)
    expect(depends('-p icmp -m icmp --icmp-type 8', { protocol: 1, icmpType: 8 })).toBe(0)
  })

  it.each([
    '-m length --length 1', '-m ttl --ttl-eq 1', '-m tos --tos 16', '-m dscp --dscp 1', '-m limit --limit 1/s', '-m statistic --mode nth --every 2 --packet 0',
    '-m time --timestart 10:00', '-p tcp -m tcp --tcp-flags ALL ACK', '-p tcp -m tcp --tcp-option 2', '-p tcp -m tcpmss --mss 1',
    '-m connlimit --connlimit-above 1', '-m hashlimit --hashlimit-upto 1/s --hashlimit-name a', '-m conntrack --ctexpire 1', '-j LOG', '-j NFLOG',
    '-j SET --add-set a src', '-m set --match-set a src --packets-gt 1', '-m statistic --mode random --probability 0.5',
  ])('is the packet for %s', (rule) => {
    expect(depends(rule) & DEPENDS_PACKET).toBe(DEPENDS_PACKET)
  })

  it.each([
    ['-p tcp -m tcp --syn', DEPENDS_FLAGS], ['-m mark --mark 1', DEPENDS_MARK], ['-m connmark --mark 1', DEPENDS_CONNMARK],
    ['-m conntrack --ctstatus ASSURED', DEPENDS_STATUS], ['-m set --match-set a src', DEPENDS_SETS], ['-m addrtype --dst-type LOCAL', DEPENDS_ROUTES],
    ['-j MARK --set-mark 1/1', DEPENDS_MARK], ['-j MARK --set-mark 1', 0], ['-j CONNMARK --restore-mark', DEPENDS_CONNMARK],
  ])('is told for %s', (rule, bits) => {
    expect(depends(rule)).toBe(bits)
  })

  it('is not what a rule would have asked whose other tests failed before', () => {
    expect(depends('-s 10.9.9.9 -m limit --limit 1/s -j DROP')).toBe(0)
    expect(depends('-p udp -m length --length 1 -j DROP')).toBe(0)
  })

  it('is the packet when its path or its TTL cannot be told in short', () => {
    expect(depends(Array.from({ length: 70 }, () => '-A FORWARD').join('\n').replace('-A FORWARD', ''))).toBe(DEPENDS_PACKET)
    expect(depends('*mangle\n-A FORWARD -j TTL --ttl-inc 3\n-A FORWARD -j TTL --ttl-dec 3\nCOMMIT')).toBe(DEPENDS_PACKET)
    expect(depends('*mangle\n-A FORWARD -j TTL --ttl-inc 3\nCOMMIT')).toBe(0)
  })
})

describe('counters', () => {
  it('begin with those of the rule set, and count what a caller stored', () => {
    const bed = chains(':FORWARD ACCEPT [5:500]', '[7:700] -A FORWARD -s 10.0.0.2', '-A FORWARD -s 10.0.0.3')
    const { path, pathLength } = bed.run('FORWARD', packetOf())
    const stored = path.slice(0, pathLength)
    bed.compiled.count(stored, 0, stored.length, 3, 180)
    expect(bed.counters('filter FORWARD 1')).toEqual([11, 940])
    expect(bed.counters('filter FORWARD 2')).toEqual([0, 0])
    expect(bed.counters('filter FORWARD 0')).toEqual([9, 740])
    expect(bed.counters('mangle FORWARD 0')).toEqual([4, 240])
  })

  it('are found by the ids of rules and chains', () => {
    const { compiled, ruleset } = chains('-A FORWARD -s 10.0.0.2')
    const forward = ruleset.tables.filter.chains[1]!
    expect(compiled.indexOf(forward.rules[0]!.id)).toBe(0)
    expect(compiled.chainOf(compiled.indexOf(forward.id))).toMatchObject({ table: 'filter', name: 'FORWARD' })
    expect(compiled.indexOf(999_999)).toBe(-1)
  })
})

describe('another rule set', () => {
  it('goes on with counters and states of rules that stay, and begins anew with others', () => {
    const bed = chains('-A FORWARD -p tcp -m limit --limit 1/h --limit-burst 2 -j DROP', '-A FORWARD -m statistic --mode nth --every 2 --packet 0')
    expect([bed.verdict(packetOf()), bed.verdict(packetOf()), bed.verdict(packetOf())]).toEqual([DROP, DROP, ACCEPT])
    const edited = runIptables(bed.ruleset, ['-I', 'FORWARD', '1', '-s', '192.0.2.1', '-j', 'ACCEPT']).ruleset
    bed.swap(edited)
    expect(bed.counters('filter FORWARD 2')).toEqual([2, 120])
    expect(bed.counters('filter FORWARD 3')).toEqual([1, 60])
    expect(bed.counters('filter FORWARD 0')).toEqual([1, 60])
    expect(bed.verdict(packetOf())).toBe(ACCEPT)
    expect(bed.counters('filter FORWARD 3')).toEqual([1, 60])
    bed.swap(runIptables(bed.ruleset, ['-Z', 'FORWARD', '2']).ruleset)
    expect(bed.counters('filter FORWARD 2')).toEqual([0, 0])
    expect(bed.verdict(packetOf())).toBe(DROP)
  })

  it('keeps the buckets of a hashlimit by its name, and makes new ones when it limits differently', () => {
    const rule = (burst: number): string => `-A FORWARD -m hashlimit --hashlimit-upto 1/h --hashlimit-burst ${burst} --hashlimit-name a -j DROP`
    const bed = new Bed(rule(1))
    expect([bed.verdict(packetOf()), bed.verdict(packetOf())]).toEqual([DROP, ACCEPT])
    bed.swap(rulesetOf(rule(1), bed.ruleset))
    expect(bed.verdict(packetOf())).toBe(ACCEPT)
    bed.swap(rulesetOf(rule(2), bed.ruleset))
    expect(bed.verdict(packetOf())).toBe(DROP)
  })

  it('that leads to a chain that is not there is refused', () => {
    const ruleset = rulesetOf('*filter\n:one - [0:0]\n-A FORWARD -j one\nCOMMIT')
    const filter = { ...ruleset.tables.filter, chains: ruleset.tables.filter.chains.filter(({ name }) => name !== 'one') }
    expect(() => compileRuleset({ ...ruleset, tables: { ...ruleset.tables, filter } }, new TestEnvironment())).toThrow('table filter has no chain one')
  })
})

describe('a recorder', () => {
  it('is told of each rule and why it did not match, also of those that an index leaves out', () => {
    const others = Array.from({ length: 30 }, (_, index) => `-A FORWARD -d 192.0.2.${index}/32 -j DROP`)
    const bed = chains('-A FORWARD -p udp', '-A FORWARD -p tcp -m comment --comment a -m tcp --dport 81', '-A FORWARD -m length --length 60', ...others)
    const told: string[] = []
    const recorder: TraceRecorder = {
      table: (table, hook) => told.push(`${table} ${hook}`),
      rule: (rule, result) => told.push(`${bed.compiled.numberOf(rule)}: ${result}`),
      policy: (rule) => told.push(`policy of ${bed.compiled.chainOf(rule).name}`),
    }
    bed.evaluator.recorder = recorder
    bed.verdict(packetOf())
    expect(told).toEqual([
      'mangle FORWARD', 'policy of FORWARD', 'filter FORWARD', `1: ${FAILED_PROTOCOL}`, `2: ${FAILED_MATCH + 1}`, `3: ${MATCHED}`,
      ...others.map((_, index) => `${index + 4}: ${FAILED_DESTINATION}`), 'policy of FORWARD',
    ])
  })
})

describe('an index', () => {
  it('leaves the order of a chain as it is, over ports that a rule names in several ways', () => {
    const lines = Array.from({ length: 40 }, (_, index) => `-A FORWARD -d 198.51.100.${index}/32 -p tcp -m tcp --dport ${index} -j DROP`)
    const bed = chains('-A FORWARD -p tcp -m multiport --dports 80,81', ...lines, '-A FORWARD -p tcp -m tcp --dport 78:82', '-A FORWARD -d 198.51.100.1/32 -p tcp -m tcp --dport 80 -j DROP')
    expect(bed.compiled.chains.find(({ table, name }) => table === 'filter' && name === 'FORWARD')!.index).not.toBeNull()
    expect(bed.verdict(packetOf({ destination: ip('198.51.100.1') }))).toBe(DROP)
    expect(bed.path().slice(1)).toEqual(['filter FORWARD 1', 'filter FORWARD 42', 'filter FORWARD 43'])
  })
})

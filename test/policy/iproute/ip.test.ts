import { describe, expect, it } from 'vitest'
import { errorText, runIp, runIpBatch, traceLines } from '../../../src/policy/iproute/index.js'
import type { RouteStep } from '../../../src/route/lookup.js'
import { parseIpv4 } from '../../../src/stack/wire/address.js'
import { after, failure, fresh, ip } from './support.js'

const KERNEL_RULES = '0:\tfrom all lookup local\n32766:\tfrom all lookup main\n32767:\tfrom all lookup default\n'

describe('runIp', () => {
  it('shows the rules of every host', () => {
    for (const words of ['rule', 'ru', 'rule show', 'rule list', 'rule ls', '-4 ru l'].filter((each) => each !== 'rule ls')) expect(ip(fresh(), words)).toMatchObject({ output: KERNEL_RULES, exitCode: 0 })
  })

  it('takes abbreviations as iproute2 does', () => {
    const state = after(fresh(), 'ro a 5/8 via 10.0.0.254 prot static met 7', 'r ad 6/8 dev eth0 t 100', 'ru add or 5 t 100')
    expect(ip(state, 'r').output).toContain('5.0.0.0/8 via 10.0.0.254 dev eth0 proto static metric 7 \n')
    expect(ip(state, 'ro s t 100').output).toBe('6.0.0.0/8 dev eth0 scope link \n')
    expect(ip(state, 'ru').output).toContain('5:\tfrom all lookup 100\n')
  })

  it('leads the second uplink\'s packets by mark, in the words of the documents', () => {
    const state = after(
      fresh(), 'route add 0.0.0.0/0 via 10.0.0.254 src 10.0.0.1', 'rule add fwmark 100 table 100', 'route add 0.0.0.0/0 via 10.1.0.254 src 10.1.0.1 table 100',
    )
    expect(ip(state, 'route get 1.1.1.1').output).toBe('1.1.1.1 via 10.0.0.254 dev eth0 src 10.0.0.1 uid 0 \n    cache \n')
    expect(ip(state, 'route get 1.1.1.1 mark 100').output).toBe('1.1.1.1 via 10.1.0.254 dev eth1 table 100 src 10.1.0.1 mark 0x64 uid 0 \n    cache \n')
    expect(ip(state, 'route get 1.1.1.1 from 192.168.7.2 iif tun0 mark 100').output).toBe('1.1.1.1 from 192.168.7.2 via 10.1.0.254 dev eth1 table 100 mark 0x64 \n    cache iif tun0 \n')
    expect(ip(state, '-j route get 1.1.1.1 mark 100').output).toBe('[{"dst":"1.1.1.1","gateway":"10.1.0.254","dev":"eth1","table":"100","prefsrc":"10.1.0.1","flags":[],"mark":100,"uid":0,"cache":[]}]\n')
  })

  it('tells the data plane what changed, and nothing else', () => {
    const outcome = ip(fresh(), 'route add 5.0.0.0/8 via 10.0.0.254')
    expect(outcome.changes.rules).toBe(false)
    expect(outcome.changes.routes).toMatchObject([{ table: 254, destination: 5 << 24, length: 8, routes: [{ hops: [{ device: 2 }] }] }])
    expect(ip(outcome.state, 'route del 5.0.0.0/8').changes.routes).toEqual([{ table: 254, destination: 5 << 24, length: 8, routes: [] }])
    expect(ip(outcome.state, 'rule add table 100').changes).toEqual({ routes: [], rules: true })
    expect(ip(outcome.state, 'rule').state).toBe(outcome.state)
  })

  it('takes options of ip', () => {
    const state = after(fresh(), 'route add 5/8 via 10.0.0.254', '-color -N route add 6/8 via 10.0.0.254')
    expect(ip(state, '-f inet -o -d ro show 5/8').output).toBe('unicast 5.0.0.0/8 via 10.0.0.254 dev eth0 proto boot scope global \n')
    expect(ip(state, '-N ro show dev eth1').output).toBe('10.1.0.0/24 proto 2 scope 253 src 10.1.0.1 \n')
    expect(ip(state, 'ro show dev eth1').output).toBe('10.1.0.0/24 proto kernel scope link src 10.1.0.1 \n')
    expect(ip(after(state, 'route add blackhole 7/8'), 'ro show type blackhole').output).toBe('blackhole 7.0.0.0/8 \n')
    expect(failure(state, '-6 route')).toContain('only IPv4')
    expect(failure(state, '-f inet6 route')).toContain('only IPv4')
    expect(failure(state, '-detials route')).toContain('did you mean "-details"?')
    expect(failure(state, '-4')).toContain('needs an object')
  })

  it('reads a file with -batch', () => {
    const readFile = (path: string): string => {
      if (path !== 'routes.batch') throw new Error('no such file')
      return 'route add 5/8 via 10.0.0.254\nroute\n'
    }
    const outcome = runIp(fresh(), ['-batch', 'routes.batch'], { readFile })
    expect(outcome.output).toContain('5.0.0.0/8 via 10.0.0.254 dev eth0 \n')
    expect(outcome.changes.routes).toHaveLength(1)
    const missing = runIp(fresh(), ['-b', 'other'], { readFile })
    expect(missing.exitCode).toBe(1)
    expect(errorText(missing.errors[0]!)).toBe('Cannot open file "other" for reading: no such file\n')
    expect(failure(fresh(), '-batch x')).toContain('no file can be read from here')
  })
})

describe('errors', () => {
  it.each([
    ['route add 5/8 vai 10.0.0.254', '"vai" is not a word of ip route add\n  did you mean "via"?\n', 255],
    ['route add 5/8 via 10.0.0.254 mertic 5', '"mertic" is not a word of ip route add\n  did you mean "metric"?\n', 255],
    ['route add 5/8 6/8 via 10.0.0.254', '"6/8" is a second destination\n  a route has one\n', 255],
    ['route add 5.0.0.0/33 via 10.0.0.254', '"5.0.0.0/33" is not an IPv4 prefix\n  write e.g. 192.0.2.0/24, an address, or "default"\n', 255],
    ['route add default via', 'the command ends after "via", where a word is missing\n', 255],
    ['route add default via 10.0.0.300', '"10.0.0.300" is not an IPv4 address\n  write e.g. 192.0.2.1\n', 255],
    ['route add default via fe80::1', '"fe80::1" is not supported: only IPv4 is routed\n', 255],
    ['route add default via 10.0.0.254 table vtab', 'table "vtab" is neither a number to 4294967295 nor a known name\n', 255],
    ['route add default via 10.0.0.254 table man', 'did you mean "main"?', 255],
    ['route add default via 10.0.0.254 advmss 1400', '"advmss" is not supported: it is for the TCP connections of the host itself', 255],
    ['route add nat 5/8 via 10.0.0.254', '"nat" is not supported: routes are of the types unicast, local, ', 255],
    ['route add default via 10.0.0.254 dev eth9', 'Cannot find device "eth9"\n', 1],
    ['route add default via 10.0.0.254 nexthop via 10.1.0.254', 'belong behind "nexthop"', 255],
    ['route add default nexthop via 10.0.0.254 metric 3', '"metric" is not a word of nexthop\n  known are: via, dev, weight, onlink, nexthop\n', 255],
    ['route add default nexthop via 10.0.0.254 weight 0', 'weight "0" is not a number from 1 to 256\n', 255],
    ['route add via 10.0.0.254', 'ip route add needs a destination\n', 255],
    ['route add 5.0.0.1/8 via 10.0.0.254', 'Error: Invalid prefix for given prefix length.\n  the network is 5.0.0.0/8\n', 2],
    ['route add 5/8 via 99.9.9.9', 'Error: Nexthop has invalid gateway.\n  99.9.9.9 is on no link\n', 2],
    ['route add 10.0.0.0/24 dev eth0 proto kernel scope link src 10.0.0.1', 'RTNETLINK answers: File exists\n  table main has 10.0.0.0/24 with this metric already\n', 2],
    ['route del 5/8', 'RTNETLINK answers: No such process\n  table main has no such route to 5.0.0.0/8\n', 2],
    ['route get 9.9.9.9', 'RTNETLINK answers: Network is unreachable\n', 2],
    ['route get 300.1.1.1', '"300.1.1.1" is not an IPv4 prefix', 255],
    ['route get', 'needs a destination address\n', 255],
    ['route get 9.9.9.0/24', 'the destination must be an address\n', 255],
    ['route get 9.9.9.9 uid 5', '"uid" is not supported: no rule can ask for the user\n', 255],
    ['route flush', '"ip route flush" requires arguments\n', 255],
    ['route show table 77', 'Error: ipv4: FIB table does not exist.\n', 2],
    ['route show type blackhol', '"blackhol" is not a type of route', 255],
    ['route save', 'the binary format of "ip" is not read or written', 255],
    ['route frob', '"frob" is not a word of ip route\n  known are: add, change, ', 255],
    ['rule add pref 5 uidrange 0-100 table 100', '"uidrange" is not supported: packets that are forwarded have no user\n', 255],
    ['rule add l3mdev', '"l3mdev" is not supported: there are no VRFs', 255],
    ['rule add suppress_ifgroup 5', '"suppress_ifgroup" is not supported: interfaces of the gateway have no groups\n', 255],
    ['rule add form 10/8 table 100', '"form" is not a word of ip rule add\n  did you mean "from"?\n', 255],
    ['rule add fwmark 1/2/3 table 100', '"1/2/3" is not a mark', 255],
    ['rule add fwmark red table 100', 'fwmark "red" is not a number from 0 to 4294967295', 255],
    ['rule add sport 9-7 table 100', '"9-7" is not a range of ports', 255],
    ['rule add dport 70000 table 100', 'dport "70000" is not a number from 1 to 65535', 255],
    ['rule add iif a/b table 100', '"a/b" cannot be an interface\'s name', 255],
    ['rule add table 0', 'a table must be named', 255],
    ['rule add type throw', '"throw" is not an action', 255],
    ['rule add prohibit suppress_prefixlength 0', '"suppress_prefixlength" goes with a table that is looked up', 255],
    ['rule add pref 5 goto 5', 'Error: Backward goto not supported.\n  the rule has the preference 5\n', 2],
    ['rule add tos 0xb8 table 100', 'Error: Invalid tos.\n', 2],
    ['rule del', '"ip rule del" requires arguments\n', 255],
    ['rule del pref 77', 'RTNETLINK answers: No such file or directory\n  no rule is like this\n', 2],
    ['neighbour show', '"neighbour" is not a word of ip\n  known are: address, route, rule, link\n', 255],
  ])('refuses "ip %s"', (command, text, exitCode) => {
    expect(failure(fresh(), command)).toContain(text)
    expect(ip(fresh(), command).exitCode).toBe(exitCode)
  })

  it('tell the place of the word', () => {
    const [error] = ip(fresh(), 'route add 5/8 vai 10.0.0.254').errors
    expect(error!.word).toEqual({ text: 'vai', line: 1, column: 15 })
    expect(error!.code).toBe('POLICY_SYNTAX')
  })
})

describe('runIpBatch', () => {
  const text = [
    '# two uplinks', 'route add default via 10.0.0.254', '', 'rule add fwmark 1 \\', '  table 100  # marked', 'route add "default" via \'10.1.0.254\' table 100',
  ].join('\n')

  it('takes comments, quotes and lines that go on', () => {
    const outcome = runIpBatch(fresh(), text)
    expect(outcome.errors).toEqual([])
    expect(ip(outcome.state, 'rule').output).toContain('fwmark 0x1 lookup 100')
    expect(ip(outcome.state, 'route get 9.9.9.9 mark 1').output).toContain('via 10.1.0.254 dev eth1 table 100')
  })

  it('changes nothing when one line is bad, and tells its place', () => {
    const state = fresh()
    const outcome = runIpBatch(state, `${text}\nroute add 5/8 \\\n via 10.0.0.254 mertic 5\nroute add 6/8 via 10.0.0.254`)
    expect(outcome).toMatchObject({ state, changes: { routes: [], rules: false }, exitCode: 1 })
    expect(outcome.errors.map((error) => errorText(error, 'routes.batch'))).toEqual(['routes.batch:8:17: "mertic" is not a word of ip route add\n  did you mean "metric"?\n'])
    const refused = runIpBatch(state, `${text}\n route del 5/8`)
    expect(refused.state).toBe(state)
    expect(errorText(refused.errors[0]!, 'routes.batch')).toMatch(/^routes.batch:7:2: RTNETLINK answers: No such process\n/)
    expect(errorText(runIpBatch(state, 'rule\nroute add "5/8').errors[0]!, 'f')).toBe('f:2:11: a quote is not closed\n')
  })

  it('does the others when forced to', () => {
    const outcome = runIpBatch(fresh(), 'route add 5/8 via 99.9.9.9\nroute add 6/8 via 10.0.0.254\nrule del pref 9', { force: true })
    expect(outcome.errors.map(({ word }) => word!.line)).toEqual([1, 3])
    expect(outcome.exitCode).toBe(1)
    expect(ip(outcome.state, 'route show 6/8').output).toBe('6.0.0.0/8 via 10.0.0.254 dev eth0 \n')
  })

  it('copies nothing that it does not change', () => {
    const state = after(fresh(), 'route add 5/8 via 10.0.0.254 table 100')
    const { state: changed } = runIpBatch(state, 'route add 6/8 via 10.0.0.254 table 200')
    expect(changed.tables.get(100)).toBe(state.tables.get(100))
    expect(changed.rules).toBe(state.rules)
    expect(state.tables.has(200)).toBe(false)
  })
})

it('tells what a lookup has looked at', () => {
  const state = after(fresh(), 'rule add from 192.168.7.0/24 pref 100 table 100', 'route add throw 9.9.0.0/16 table 100', 'route add 9.0.0.0/8 via 10.1.0.254 tos 0x10', 'route add default via 10.0.0.254')
  const trace: RouteStep[] = []
  const { output } = runIp(state, 'route get 9.9.9.9 from 192.168.7.2 iif tun0'.split(' '), { trace })
  expect(output).toContain('via 10.0.0.254 dev eth0')
  expect(traceLines(trace, parseIpv4('9.9.9.9')!, state)).toEqual([
    'rule 0: from all lookup local', '  table local: no route', 'rule 100: from 192.168.7.0/24 lookup 100', '  table 100: throw 9.9.0.0/16: the next rule goes on',
    'rule 32766: from all lookup main', '  table main: 9.0.0.0/8 tos 0x10 via 10.1.0.254 dev eth1: passed over: another TOS', '  table main: default via 10.0.0.254 dev eth0: taken',
  ])
})

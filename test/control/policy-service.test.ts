import { pino } from 'pino'
import { describe, expect, it } from 'vitest'
import type { PolicyAnswer, PolicyTool } from '../../src/api/types.js'
import { PolicyLink } from '../../src/control/policy-link.js'
import { PolicyService } from '../../src/control/policy-service.js'
import { DROP, PacketMeta } from '../../src/policy/engine/index.js'
import { HOOK_NAMES, STATE } from '../../src/policy/model.js'
import type { ToPolicy } from '../../src/policy-protocol.js'
import type { Device } from '../../src/route/connected.js'
import { connectedRoutes } from '../../src/route/connected.js'
import { RouteResult } from '../../src/route/lookup.js'
import { RouteKey } from '../../src/route/types.js'
import { parseIpv4 } from '../../src/stack/wire/address.js'
import { MemoryGateway } from '../../src/testing/index.js'

const address = (text: string): number => parseIpv4(text)!
const device = (number: number, name: string, own: string, up = true): Device =>
  ({ number, name, up, addresses: [{ address: address(own), prefixLength: 24, primary: true }] })
const DEVICES = [device(2, 'tun0', '10.0.0.1'), device(3, 'eth0', '203.0.113.1'), device(4, 'eth1', '198.51.100.1')]
const FORWARD = HOOK_NAMES.indexOf('FORWARD')

const bed = async (attached = true) => {
  const gateway = new MemoryGateway()
  const { policy } = gateway.plane
  const logged: Record<string, unknown>[] = []
  const sent: ToPolicy[] = []
  const log = pino({ level: 'warn' }, { write: (line: string) => logged.push(JSON.parse(line) as Record<string, unknown>) })
  const service = new PolicyService({
    log, interfaces: ['lo', 'tun0', 'eth0'], seed: 1, now: () => gateway.now, random: () => 1, date: () => new Date(0), tableNames: () => new Map([[100, 'vtab']]),
  })
  const link = new PolicyLink((message) => {
    sent.push(message)
    policy.handle(message)
    while (policy.step());
  })
  policy.answer = (message) => link.hear(message)
  const attach = (): void => {
    for (const message of service.startMessages()) policy.handle(message)
    while (policy.step());
    service.attach(link)
  }
  await service.setLinks(DEVICES, connectedRoutes(DEVICES))
  if (attached) attach()
  const run = (words: string, text?: string): Promise<PolicyAnswer> => {
    const [tool, ...argv] = words.split(' ')
    return service.run({ tool: tool as PolicyTool, argv, input: text === undefined ? null : { name: 'file', text } })
  }
  return {
    gateway, policy, service, link, logged, sent, attach, run,
    says: async (words: string, text?: string): Promise<string> => {
      const { output, errors, exitCode } = await run(words, text)
      expect({ words, errors, exitCode }).toEqual({ words, errors: '', exitCode: 0 })
      return output
    },
    /** Takes a packet through FORWARD. @returns whether it was dropped */
    drops: (source: string): boolean => {
      const packet = new PacketMeta()
      packet.source = address(source)
      packet.destination = address('192.0.2.1')
      packet.protocol = 6
      packet.length = 60
      packet.state = STATE.NEW
      return policy.evaluator.evaluate(FORWARD, packet).verdict === DROP
    },
    route: (destination: string, mark = 0): number => {
      const key = new RouteKey()
      const result = new RouteResult()
      key.destination = address(destination)
      key.mark = mark
      return policy.router.lookup(key, result) === 0 ? result.device : -result.error
    },
  }
}

describe('rules', () => {
  it('are in effect when a command is answered, and one that is refused changes nothing', async () => {
    const { says, run, drops, service } = await bed()
    await says('iptables -A FORWARD -s 10.0.0.7 -j DROP')
    expect([drops('10.0.0.7'), drops('10.0.0.8')]).toEqual([true, false])
    const { ruleset } = service.state
    expect(await run('iptables -A FORWARD -j DORP')).toEqual({ output: '', errors: 'iptables: -j: unknown target or chain "DORP"\n  did you mean "DROP"?\n', exitCode: 2, file: null })
    expect(await run('iptables -C FORWARD -j DROP')).toMatchObject({ exitCode: 1 })
    expect(await run('iptables-restore', '*filter\n-F FORWARD\n-A FORWARD -j\nCOMMIT\n')).toMatchObject({ exitCode: 2, errors: expect.stringContaining('file line 3') as string })
    expect(service.state.ruleset).toBe(ruleset)
    expect(drops('10.0.0.7')).toBe(true)
  })

  it('are listed and saved with what packets have counted by then', async () => {
    const { says, drops, policy } = await bed()
    await says('iptables -A FORWARD -s 10.0.0.7 -j DROP')
    drops('10.0.0.7')
    drops('10.0.0.8')
    let settled = 0
    policy.onCount = () => settled++
    expect(await says('iptables -S FORWARD -v')).toBe('-P FORWARD ACCEPT -c 1 60\n-A FORWARD -s 10.0.0.7/32 -c 1 60 -j DROP\n')
    expect(settled).toBe(1)
    expect(await says('iptables-save -c -t filter')).toContain('[1:60] -A FORWARD -s 10.0.0.7/32 -j DROP\n')
    await says('iptables -I FORWARD -s 10.0.0.9 -j ACCEPT')
    expect(await says('iptables -S FORWARD -v')).toContain('-A FORWARD -s 10.0.0.7/32 -c 1 60 -j DROP\n')
  })

  it('count from zero after -Z, without being compiled again; and from what a file says', async () => {
    const { says, drops, sent } = await bed()
    await says('iptables -A FORWARD -s 10.0.0.7 -j DROP')
    drops('10.0.0.7')
    sent.length = 0
    expect(await says('iptables -L FORWARD -v -n -x -Z')).toMatch(/\n +1 +60 DROP /)
    expect(sent.map(({ type }) => type)).toEqual(['counters', 'set-counters', 'sync'])
    expect(await says('iptables -S FORWARD -v')).toContain('-c 0 0')
    drops('10.0.0.7')
    await says('iptables-restore -c', await says('iptables-save -c'))
    drops('10.0.0.7')
    expect(await says('iptables -S FORWARD -v')).toContain('-A FORWARD -s 10.0.0.7/32 -c 2 120 -j DROP')
    await says('iptables-restore -c', '*filter\n[40:4000] -A FORWARD -s 10.0.0.7 -j DROP\nCOMMIT\n')
    drops('10.0.0.7')
    expect(await says('iptables -S FORWARD -v')).toContain('-c 41 4060')
  })

  it('that name interfaces which are not there are told of once', async () => {
    const { says, logged } = await bed()
    await says('iptables -A FORWARD -i eth0 -o tun+ -j ACCEPT')
    await says('iptables -A FORWARD -i eth9 -j ACCEPT')
    await says('iptables -A FORWARD ! -o ppp+ -i eth9 -j ACCEPT')
    expect(logged.map((line) => line['interface'])).toEqual(['eth9', 'ppp+'])
  })

  it('that cannot be kept are refused with the reason', async () => {
    const { run, says } = await bed()
    expect(await run('iptables -A FORWARD -p tcp -j SYNPROXY')).toMatchObject({ exitCode: 2, errors: expect.stringContaining('SYNPROXY is not taken') as string })
    expect(await run('iptables -A FORWARD -j SET --add-set seen src')).toMatchObject({ exitCode: 1, errors: expect.stringContaining('table filter, chain FORWARD, rule 1: there is no set "seen"') as string })
    await says('iptables -t mangle -A PREROUTING -p udp -j TPROXY --on-port 1080 --tproxy-mark 1/1')
    await says('iptables -t mangle -A PREROUTING -p tcp -m socket -j ACCEPT')
  })

  it('are only looked at with --test, and go to a file with -f', async () => {
    const { run, says, service } = await bed()
    const { ruleset } = service.state
    await says('iptables-restore --test', '*filter\n-A FORWARD -j DROP\nCOMMIT\n')
    expect(service.state.ruleset).toBe(ruleset)
    expect(await run('iptables-save -t raw -f /tmp/rules')).toMatchObject({ file: '/tmp/rules', output: expect.stringContaining('*raw\n') as string, exitCode: 0 })
  })
})

describe('sets', () => {
  it('hold what rules have added, and are not destroyed while rules name them', async () => {
    const { says, run, drops, gateway } = await bed()
    await says('ipset create seen hash:ip timeout 60 counters')
    await says('iptables -A FORWARD -m set ! --match-set seen src -j SET --add-set seen src')
    drops('10.0.0.7')
    expect(await says('ipset save seen')).toBe('create seen hash:ip family inet hashsize 1024 maxelem 65536 timeout 60 counters bucketsize 12 initval 0x00000001\nadd seen 10.0.0.7 timeout 60 packets 1 bytes 60\n')
    gateway.advance(5)
    drops('10.0.0.7')
    expect(await says('ipset list seen')).toContain('10.0.0.7 timeout 55 packets 2 bytes 120\n')
    expect(await run('ipset add seen 10.0.0.7')).toMatchObject({ exitCode: 1 })
    expect(await run('ipset test seen 10.0.0.8')).toMatchObject({ exitCode: 1, errors: '10.0.0.8 is NOT in set seen.\n' })
    expect(await run('ipset destroy seen')).toMatchObject({ exitCode: 1, errors: expect.stringContaining('cannot be destroyed') as string })
    gateway.advance(60)
    expect(await says('ipset list seen')).toMatch(/Members:\n$/)
  })

  it('change at once, lists and their counters too', async () => {
    const { says, drops } = await bed()
    await says('ipset restore', 'create a hash:ip\ncreate b hash:net\ncreate all list:set counters\nadd all a\nadd all b\nadd a 10.0.0.7\nadd b 10.1.0.0/16\n')
    await says('iptables -A FORWARD -m set --match-set all src -j DROP')
    expect([drops('10.0.0.7'), drops('10.1.2.3'), drops('10.2.0.1')]).toEqual([true, true, false])
    expect(await says('ipset list all')).toContain('a packets 1 bytes 60\nb packets 1 bytes 60\n')
    await says('ipset del b 10.1.0.0/16')
    expect(drops('10.1.2.3')).toBe(false)
    await says('ipset flush a')
    expect(drops('10.0.0.7')).toBe(false)
  })

  it('go to the data plane in messages of moderate length', async () => {
    const { says, sent, drops } = await bed()
    await says('ipset restore', `create many hash:ip\n${Array.from({ length: 3000 }, (_, n) => `add many 10.9.${n >>> 8}.${n & 255}`).join('\n')}`)
    const sizes = sent.flatMap((message) => (message.type === 'sets' ? [message.edits.length] : []))
    expect(sizes.length).toBeGreaterThan(5)
    await says('iptables -A FORWARD -m set --match-set many src -j DROP')
    expect([drops('10.9.11.183'), drops('10.9.11.185')]).toEqual([true, false])
  })
})

describe('routes', () => {
  it('change by words, with names of tables from outside', async () => {
    const { says, run, route } = await bed()
    await says('ip route add default via 203.0.113.254')
    await says('ip route add default via 198.51.100.254 table vtab')
    await says('ip rule add fwmark 100 table vtab')
    expect([route('192.0.2.1'), route('192.0.2.1', 100)]).toEqual([3, 4])
    expect(await says('ip rule')).toContain('from all fwmark 0x64 lookup vtab\n')
    expect(await run('ip route add default via 203.0.113.253')).toMatchObject({ exitCode: 2, errors: expect.stringContaining('RTNETLINK answers: File exists\n') as string })
    expect(await run('ip -batch file', 'route del default\nroute del 10.99.0.0/16\n')).toMatchObject({ exitCode: 1, errors: expect.stringContaining('file:2:1: ') as string })
    expect(route('192.0.2.1')).toBe(3)
  })

  it('of many prefixes are taken over as a whole', async () => {
    const { says, route, sent } = await bed()
    const lines = Array.from({ length: 10_000 }, (_, n) => `route add 172.${16 + (n >>> 13)}.${(n >>> 5) & 255}.${(n & 31) * 8}/29 via 203.0.113.254`)
    await says('ip -batch file', lines.join('\n'))
    expect(sent.map(({ type }) => type)).toEqual(['tables', 'sync'])
    expect(route('172.17.56.100')).toBe(3)
    expect(route('172.30.0.1')).toBe(-101)
  })

  it('are dead with their link, and with its checks', async () => {
    const { says, service, route } = await bed()
    await says('ip route add default via 203.0.113.254')
    await says('ip route add default via 198.51.100.254 metric 10')
    await service.setFailed(3, true)
    expect(route('192.0.2.1')).toBe(4)
    expect(await says('ip route get 192.0.2.1')).toContain('via 198.51.100.254 dev eth1')
    const down = [DEVICES[0]!, DEVICES[1]!, { ...DEVICES[2]!, up: false }]
    await service.setLinks(down, connectedRoutes(down))
    expect(route('192.0.2.1')).toBe(-101)
    await service.setFailed(3, false)
    expect(route('192.0.2.1')).toBe(3)
    await service.setLinks(DEVICES, connectedRoutes(DEVICES))
    await service.setFailed(3, true)
    expect(route('192.0.2.1')).toBe(4)
  })
})

describe('the start', () => {
  it('tells the data plane everything before the first packet', async () => {
    const { service, attach, drops, route, says } = await bed(false)
    service.load({
      rules: { name: 'rules.v4', text: '*filter\n[7:420] -A FORWARD -m set --match-set bad src -j DROP\nCOMMIT\n' },
      ipset: { name: 'sets', text: 'create bad hash:ip\nadd bad 10.0.0.7\n' },
      ipBatch: { name: 'routes', text: 'route add default via 203.0.113.254\n' },
    })
    attach()
    expect([drops('10.0.0.7'), drops('10.0.0.8'), route('192.0.2.1')]).toEqual([true, false, 3])
    expect(await says('iptables -S FORWARD -v')).toContain('-c 8 480')
  })

  it('refuses what is wrong with its place, and takes nothing of it', async () => {
    const { service } = await bed(false)
    const before = service.state
    const nothing = { rules: null, ipset: null, ipBatch: null }
    const load = (part: object) => () => service.load({ ...nothing, ...part })
    expect(load({ rules: { name: 'rules.v4', text: '*filter\n-A FORWARD -j DORP\nCOMMIT\n' } })).toThrow('rules.v4 line 2, column 15: -j: unknown target or chain "DORP"')
    expect(load({ ipset: { name: 'sets', text: 'create bad hash:op\n' } })).toThrow('sets line 1, column 12: ')
    expect(load({ ipset: { name: 'sets', text: 'create bad hash:ip\n' }, ipBatch: { name: 'routes', text: 'rule add fwmark 1 table 5\nroute add default via 1.2.3.4\n' } }))
      .toThrow('routes:2:1: Error: Nexthop has invalid gateway.')
    expect(service.state).toBe(before)
  })
})

describe('commands', () => {
  it('are run one after the other', async () => {
    const { run, says } = await bed()
    const answers = await Promise.all(Array.from({ length: 20 }, (_, n) => run(`iptables -A FORWARD -s 10.0.0.${n} -j DROP`)))
    expect(answers.every(({ exitCode }) => exitCode === 0)).toBe(true)
    expect((await says('iptables -S FORWARD')).split('\n').slice(1, 21)).toEqual(Array.from({ length: 20 }, (_, n) => `-A FORWARD -s 10.0.0.${n}/32 -j DROP`))
  })

  it('fail when the data plane has ended, and leave the words as they were', async () => {
    const { run, link, service } = await bed()
    const { ruleset } = service.state
    link.end()
    await expect(run('iptables -A FORWARD -j DROP')).rejects.toMatchObject({ code: 'STOPPING' })
    expect(service.state.ruleset).toBe(ruleset)
  })
})

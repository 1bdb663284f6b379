import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { EventGroup, NetlinkEvents } from '../../src/host/netlink-events.js'
import { Rtnetlink } from '../../src/host/rtnetlink.js'
import type { Rule } from '../../src/host/rtnetlink-types.js'
import { formatIpv4, parseIpv4 } from '../../src/stack/wire/address.js'
import { testNamespace, until } from './host-support.js'

const host = testNamespace()
const ip = (text: string): number => parseIpv4(text)!
let session: Rtnetlink
let ifindex: number

beforeEach(async () => {
  host.script('ip link add d0 type veth peer name d1', 'ip link set d1 up', 'ip link set d0 up')
  session = new Rtnetlink(host.namespace)
  ifindex = (await session.link('d0'))!.index
})
afterEach(() => {
  session.close()
  host.run('ip link del d0')
})

describe('Rtnetlink', () => {
  it('lists and changes links', async () => {
    expect((await session.links()).map(({ name, ethernet }) => [name, ethernet])).toEqual([['lo', false], ['d1', true], ['d0', true]])
    await session.setLink(ifindex, { mtu: 1300, txQueueLength: 77 })
    await session.setLink(ifindex, { up: false })
    expect(await session.link('d0')).toMatchObject({ mtu: 1300, up: false, carrier: false, ethernet: true })
    expect(host.run('ip link show d0')).toContain('qlen 77')
    await session.setLink(ifindex, { up: true })
    expect((await session.link('d0'))!.up).toBe(true)
    expect(await session.link('d7')).toBeNull()
  })

  it('adds and lists addresses', async () => {
    await session.addAddress(ifindex, ip('10.1.2.3'), 20)
    expect(host.run('ip -4 addr show d0')).toContain('inet 10.1.2.3/20 brd 10.1.15.255 scope global d0')
    expect((await session.addresses()).filter((a) => a.ifindex === ifindex)).toEqual([
      { ifindex, address: ip('10.1.2.3'), peer: ip('10.1.2.3'), prefixLength: 20, primary: true, scope: 0 },
    ])
    await expect(session.addAddress(ifindex, ip('10.1.2.3'), 20)).rejects.toMatchObject({ code: 'NETLINK', errno: 'EEXIST' })
  })

  it('adds, lists and removes routes of all types', async () => {
    await session.addAddress(ifindex, ip('10.1.2.3'), 24)
    const table = 29999
    await session.addRoute({ table, type: 'unicast', destination: 0, prefixLength: 0, ifindex, gateway: ip('10.1.2.1'), metric: 5 })
    await session.addRoute({ table, type: 'unicast', destination: ip('10.9.0.0'), prefixLength: 16, ifindex })
    await session.addRoute({ table, type: 'throw', destination: ip('10.8.0.0'), prefixLength: 16 })
    await session.addRoute({ table, type: 'unreachable', destination: 0, prefixLength: 0, metric: 0xffffffff })
    expect(host.run(`ip route show table ${table}`).trim().split('\n').map((line) => line.trim())).toEqual([
      'default via 10.1.2.1 dev d0 proto static metric 5',
      'unreachable default proto static metric 4294967295',
      'throw 10.8.0.0/16 proto static',
      '10.9.0.0/16 dev d0 proto static scope link',
    ])
    const listed = (await session.routes()).filter((route) => route.table === table)
    expect(listed.map(({ type, destination, gateway, metric }) => `${type} ${formatIpv4(destination)} ${gateway === null ? '-' : formatIpv4(gateway)} ${metric}`)).toEqual([
      'unicast 0.0.0.0 10.1.2.1 5', 'unreachable 0.0.0.0 - 4294967295', 'throw 10.8.0.0 - 0', 'unicast 10.9.0.0 - 0',
    ])
    await expect(session.addRoute({ table, type: 'throw', destination: ip('10.8.0.0'), prefixLength: 16 })).rejects.toMatchObject({ errno: 'EEXIST' })
    for (const { type, destination, prefixLength, metric } of listed) {
      await session.deleteRoute({ table, type: type as 'unicast', destination, prefixLength, metric })
    }
    expect((await session.routes()).some((route) => route.table === table)).toBe(false)
    await expect(session.deleteRoute({ table, type: 'throw', destination: 0, prefixLength: 0 })).rejects.toMatchObject({ errno: 'ESRCH' })
  })

  it('reads back every rule as it was added', async () => {
    const rules: Rule[] = [
      { priority: 100, table: 254, source: { address: ip('198.51.100.2'), prefixLength: 32 } },
      { priority: 101, table: 254, outputInterface: 'd0' },
      { priority: 102, table: 254, suppressPrefixLength: 0 },
      { priority: 103, table: 29999, mark: { value: 0x80007473, mask: 0xffffffff }, invert: true },
      { priority: 104, table: 29999, inputInterface: 'eth7' },
    ]
    for (const rule of rules) await session.addRule(rule)
    expect((await session.rules()).filter(({ priority }) => priority > 0 && priority < 1000)).toEqual(rules)
    expect(host.run('ip rule').replaceAll(/\s+/g, ' ')).toContain(
      '100: from 198.51.100.2 lookup main proto static 101: from all oif d0 lookup main proto static 102: from all lookup main suppress_prefixlength 0 proto static '
      + '103: not from all fwmark 0x80007473 lookup 29999 proto static 104: from all iif eth7 [detached] lookup 29999 proto static')
    await expect(session.addRule(rules[0]!)).rejects.toMatchObject({ errno: 'EEXIST' })
    // Only exactly this rule is removed.
    await expect(session.deleteRule({ ...rules[0]!, source: { address: ip('198.51.100.3'), prefixLength: 32 } })).rejects.toMatchObject({ errno: 'ENOENT' })
    for (const rule of rules) await session.deleteRule(rule)
    expect((await session.rules()).map(({ priority }) => priority)).toEqual([0, 32766, 32767])
  })

  it('answers many requests at once, each with its own', async () => {
    const answers = await Promise.all(Array.from({ length: 200 }, async (_, i) => (i % 2 === 0 ? (await session.routes()).length > 0 : (await session.link('d0'))?.index === ifindex)))
    expect(answers.every(Boolean)).toBe(true)
    session.close()
    session.close()
    await expect(session.links()).rejects.toMatchObject({ errno: 'EBADF' })
  })
})

describe('NetlinkEvents', () => {
  it('tells of changes in its namespace', async () => {
    const seen: string[] = []
    const events = new NetlinkEvents(host.namespace, Object.values(EventGroup), {
      link: ({ name, up }, deleted) => seen.push(`link ${name} ${up} ${deleted}`),
      address: ({ address }, deleted) => seen.push(`address ${formatIpv4(address)} ${deleted}`),
      route: ({ destination, table }, deleted) => seen.push(`route ${formatIpv4(destination)} ${table} ${deleted}`),
      neighbour: ({ address, state }, deleted) => seen.push(`neighbour ${formatIpv4(address)} ${state} ${deleted}`),
      lost: () => seen.push('lost'),
    })
    try {
      host.script('ip addr add 10.1.2.3/24 dev d0', 'ip neigh add 10.1.2.9 lladdr 02:00:00:00:00:01 dev d0', 'ip neigh del 10.1.2.9 dev d0', 'ip addr del 10.1.2.3/24 dev d0', 'ip link set d0 down')
      await until(() => seen.some((line) => line === 'link d0 false false'), () => seen.join('\n'))
      expect(seen).toEqual(expect.arrayContaining([
        'address 10.1.2.3 false', 'route 10.1.2.0 254 false', 'neighbour 10.1.2.9 permanent false', 'address 10.1.2.3 true', 'route 10.1.2.0 254 true',
      ]))
      expect(seen.some((line) => line.startsWith('neighbour 10.1.2.9') && line.endsWith('true'))).toBe(true)
      expect(seen).not.toContain('lost')
    } finally {
      events.close()
      events.close()
    }
  })

  it('says so when events were lost, and goes on', async () => {
    let lost = 0
    let seen = 0
    const events = new NetlinkEvents(host.namespace, [EventGroup.address, EventGroup.route], { address: () => { seen++ }, lost: () => { lost++ } })
    try {
      const lines = Array.from({ length: 4000 }, (_, i) => `addr add 10.${i >> 8}.${i & 255}.1/32 dev d0`).join('\n')
      host.runInput('ip -batch -', lines)
      await until(() => lost > 0 && seen > 100, () => `${lost} ${seen}`)
      const before = seen
      host.run('ip addr del 10.0.1.1/32 dev d0')
      await until(() => seen > before, () => `${lost} ${seen}`)
    } finally {
      events.close()
    }
  })
})

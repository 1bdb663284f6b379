/** Messages of a kernel, one for each `ip route add` that is beside it. */
import { describe, expect, it } from 'vitest'
import { decodeRoute } from '../../src/host/rtnetlink-messages.js'
import { decodeKernelRoute, decodeNextHopObject, needsNextHop, withNextHops } from '../../src/host/route-messages.js'
import type { KernelRoute, NextHopObject } from '../../src/host/route-messages.js'
import { Origin, RouteType, Scope, Table } from '../../src/route/types.js'
import { parseIpv4 } from '../../src/stack/wire/address.js'

const ip = (text: string): number => parseIpv4(text)!
const bytes = (...hex: string[]): Buffer => Buffer.from(hex.join('').replaceAll(' ', ''), 'hex')
const route = (...hex: string[]): KernelRoute => decodeKernelRoute(bytes(...hex))!

const ETH0 = 3
const ETH1 = 5
const way = { weight: 1, onlink: false, dead: false, foreign: false }
const plain = { table: Table.main, type: RouteType.unicast, tos: 0, metric: 0, scope: Scope.global, origin: Origin.boot, source: 0, mtu: 0, mtuLocked: false, object: 0 }

describe('decodeKernelRoute', () => {
  it('reads metric, preferred source and locked MTU', () => {
    // default via 10.0.0.254 dev eth0 src 10.0.0.1 metric 100 mtu lock 1400
    expect(route(
      '02000000fe030001 00000000 08000f00fe000000 0800060064000000 140008000800010004000000 0800020078050000',
      '080007000a000001 080005000a0000fe 0800040003000000',
    )).toEqual({
      ...plain, destination: 0, length: 0, metric: 100, source: ip('10.0.0.1'), mtu: 1400, mtuLocked: true,
      hops: [{ ...way, ifindex: ETH0, gateway: ip('10.0.0.254') }],
    })
  })

  it('reads types without a way', () => {
    // blackhole 6.0.0.0/8
    expect(route('02080000fe030006 00000000 08000f00fe000000 0800010006000000')).toEqual({ ...plain, type: RouteType.blackhole, destination: ip('6.0.0.0'), length: 8, hops: [] })
  })

  it('reads TOS, origin and onlink', () => {
    // 7.0.0.0/8 tos 0x10 via 4.4.4.4 dev eth1 onlink proto bgp
    expect(route('02080010feba0001 04000000 08000f00fe000000 0800010007000000 0800050004040404 0800040005000000')).toEqual({
      ...plain, destination: ip('7.0.0.0'), length: 8, tos: 0x10, origin: 186, hops: [{ ...way, ifindex: ETH1, gateway: ip('4.4.4.4'), onlink: true }],
    })
  })

  it('reads several next hops with their weights', () => {
    // 9.0.0.0/8 nexthop via 10.0.0.254 weight 3 nexthop via 10.1.0.254 nexthop dev eth1 weight 256
    expect(route(
      '02080000fe030001 00000000 08000f00fe000000 0800010009000000',
      '2c000900 1000000203000000080005000a0000fe 1000000005000000080005000a0100fe 080000ff05000000',
    ).hops).toEqual([
      { ...way, ifindex: ETH0, gateway: ip('10.0.0.254'), weight: 3 },
      { ...way, ifindex: ETH1, gateway: ip('10.1.0.254') },
      { ...way, ifindex: ETH1, gateway: null, weight: 256 },
    ])
  })

  it('tells next hops that are down', () => {
    const hex = '02080000fe030001 00000000 08000f00fe000000 0800010009000000 1c000900 1000010203000000080005000a0000fe 0800000005000000'
    expect(route(hex).hops.map(({ dead }) => dead)).toEqual([true, false])
    expect(decodeRoute(bytes(hex)).map(({ ifindex, usable }) => [ifindex, usable])).toEqual([[ETH0, false], [ETH1, true]])
  })

  it('marks a way by an IPv6 gateway as not for tsnat', () => {
    // 11.0.0.0/8 via inet6 fe80::1 dev eth0
    const hex = '02080000fe030001 00000000 08000f00fe000000 080001000b000000 160012000a00fe8000000000000000000000000000010000 0800040003000000'
    expect(route(hex).hops).toEqual([{ ...way, ifindex: ETH0, gateway: null, foreign: true }])
    expect(decodeRoute(bytes(hex))[0]!.usable).toBe(false)
  })

  it('reads table numbers beyond 255, and the connected route of a link', () => {
    // 14.0.0.0/8 dev eth0 table 70000
    expect(route('02080000fc03fd01 00000000 08000f0070110100 080001000e000000 0800040003000000')).toMatchObject({ table: 70000, scope: Scope.link })
    // 10.0.0.0/24 dev eth0 proto kernel scope link src 10.0.0.1
    expect(route('02180000fe02fd01 00000000 08000f00fe000000 080001000a000000 080007000a000001 0800040003000000'))
      .toEqual({ ...plain, destination: ip('10.0.0.0'), length: 24, scope: Scope.link, origin: Origin.kernel, source: ip('10.0.0.1'), hops: [{ ...way, ifindex: ETH0, gateway: null }] })
  })

  it('passes over what it does not know, and takes nothing from what is cut off', () => {
    const whole = '02080000fe030001 00000000 08000f00fe000000 0800010009000000 0800040003000000'
    expect(route(whole, '0600ff0301000000 0500060001000000')).toEqual(route(whole))
    expect(route(whole, '0c00050001')).toEqual(route(whole))
    expect(route(whole, '0200050001')).toEqual(route(whole))
    expect(route('02080000fe030001 00000000 08000f00fe000000 0800010009000000 1400 0900 0400000003000000').hops).toEqual([])
    expect(decodeKernelRoute(bytes('0a080000fe030001 00000000'))).toBeNull()
    expect(decodeKernelRoute(bytes('02080000fe'))).toBeNull()
  })
})

describe('next hop objects', () => {
  /** id 5 via 10.0.0.254 dev eth0, id 6 dev eth1, id 7 group 5,2/6, id 8 blackhole, id 9 via fe80::1 dev eth1, id 10 group 5/8 */
  const objects: NextHopObject[] = [
    '02fd000000000000 0800010005000000 0800050003000000 080006000a0000fe',
    '02fe000000000000 0800010006000000 0800050005000000',
    '0000000000000000 0800010007000000 06000300000000001400020005000000010000000600000000000000',
    '0200000000000000 0800010008000000 04000400',
    '0afd000000000000 0800010009000000 0800050005000000 14000600fe800000000000000000000000000001',
    '0000000000000000 080001000a000000 06000300000000001400020005000000ff0000000800000000010000',
  ].map((hex) => decodeNextHopObject(bytes(hex))!)

  it('are read', () => {
    expect(objects.slice(0, 5)).toEqual([
      { id: 5, blackhole: false, hop: { ...way, ifindex: ETH0, gateway: ip('10.0.0.254') }, members: [] },
      { id: 6, blackhole: false, hop: { ...way, ifindex: ETH1, gateway: null }, members: [] },
      { id: 7, blackhole: false, hop: null, members: [{ id: 5, weight: 2 }, { id: 6, weight: 1 }] },
      { id: 8, blackhole: true, hop: null, members: [] },
      { id: 9, blackhole: false, hop: { ...way, ifindex: ETH1, gateway: null, foreign: true }, members: [] },
    ])
    expect(objects[5]!.members.map(({ weight }) => weight)).toEqual([256, 256])
    expect(decodeNextHopObject(bytes('0200000000000000'))).toBeNull()
    expect(decodeNextHopObject(bytes('02'))).toBeNull()
  })

  it('give routes that only name them their ways', () => {
    // 12.0.0.0/8 nhid 7, as a kernel lists it with and without nexthop_compat_mode
    const short = route('02080000fe030001 00000000 08000f00fe000000 080001000c000000 08001e0007000000')
    const long = route(
      '02080000fe030001 00000000 08000f00fe000000 080001000c000000 08001e0007000000',
      '1c000900 1000000103000000080005000a0000fe 0800000005000000',
    )
    expect([short, long].map(needsNextHop)).toEqual([true, false])
    expect(withNextHops([short, long], objects)).toEqual([long, long])
    expect(withNextHops([{ ...short, object: 5 }, { ...short, object: 77 }, { ...short, object: 10 }], objects).map(({ hops }) => hops.map(({ ifindex }) => ifindex)))
      .toEqual([[ETH0], [], [ETH0]])
    // blackhole 13.0.0.0/8 nhid 8
    expect(needsNextHop(route('02080000fe030006 00000000 08000f00fe000000 080001000d000000 08001e0008000000'))).toBe(false)
  })
})

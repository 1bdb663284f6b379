import { describe, expect, it } from 'vitest'
import { native } from '../../src/native.js'
import { inNewNamespace, ip, privileged, thrownBy } from './network.js'
import { createBench } from './packets.js'

const [NETLINK_ROUTE, RTNLGRP_LINK, RTM_NEWLINK, ENOBUFS] = [0, 1, 16, 105]

describe.skipIf(!privileged)('netlink socket', () => {
  inNewNamespace()

  const read = (fd: number, bench: ReturnType<typeof createBench>, max: number): number =>
    native().readBatch(fd, true, bench.slab, 0, bench.slab.length, 0, bench.at, bench.length, max)

  it('delivers the events of its groups', () => {
    const fd = native().netlinkOpen(NETLINK_ROUTE, Int32Array.of(RTNLGRP_LINK), 1 << 20)
    const bench = createBench(256 * 1024)
    expect(read(fd, bench, 16)).toBe(0)
    ip('link set lo mtu 5000')
    expect(native().poll(Int32Array.of(fd), new Int32Array(1), 1_000_000)).toBe(1)
    expect(read(fd, bench, 16)).toBe(1)
    expect(bench.packet(0).readUInt32LE(0)).toBe(bench.length[0])
    expect(bench.packet(0).readUInt16LE(4)).toBe(RTM_NEWLINK)
    native().close(fd)
  })

  it('says that events were lost, once, before those that are left', () => {
    const fd = native().netlinkOpen(NETLINK_ROUTE, Int32Array.of(RTNLGRP_LINK), 1)
    for (let mtu = 2000; mtu < 2020; mtu++) ip(`link set lo mtu ${mtu}`)
    const bench = createBench(256 * 1024)
    expect(read(fd, bench, 16)).toBe(-ENOBUFS)
    expect(read(fd, bench, 16)).toBeGreaterThan(0)
    native().close(fd)
  })

  it('refuses protocols and groups that do not exist', () => {
    expect(thrownBy(() => native().netlinkOpen(31, new Int32Array(0), 4096))).toMatchObject({ code: 'EPROTONOSUPPORT', syscall: 'socket' })
    expect(thrownBy(() => native().netlinkOpen(NETLINK_ROUTE, Int32Array.of(100_000), 4096))).toMatchObject({ code: 'EINVAL', syscall: 'setsockopt' })
  })
})

import { afterEach, describe, expect, it } from 'vitest'
import { native, WRITE_ERRNO, WRITE_FAILED, WRITE_SENT } from '../../src/native.js'
import { inNewNamespace, ip, privileged, run, thrownBy } from './network.js'
import { createBench, GSO_NONE, GSO_TCPV4, NEEDS_CSUM, tcp, udp, vnet } from './packets.js'

const [ENXIO, EMSGSIZE, ENETDOWN] = [6, 90, 100]
const MAC_A = [2, 0, 0, 0, 0, 0xa]
const MAC_B = [2, 0, 0, 0, 0, 0xb]
const ETHERNET = Buffer.from([...MAC_B, ...MAC_A, 8, 0])
const PLAIN = Buffer.concat([vnet(0, GSO_NONE, 0, 0, 0, 0), ETHERNET])
const ends = { from: [198, 51, 100, 1], to: [198, 51, 100, 2], fromPort: 1000, toPort: 2000 }

/** struct sock_filter; classic BPF as in linux/filter.h. */
const instruction = (code: number, ifTrue: number, ifFalse: number, k: number): Buffer => {
  const bytes = Buffer.alloc(8)
  bytes.writeUInt16LE(code, 0)
  bytes[2] = ifTrue
  bytes[3] = ifFalse
  bytes.writeUInt32LE(k, 4)
  return bytes
}
/** Takes IPv4 packets to one UDP port, whose headers start `offset` bytes into what the filter sees. */
const portFilter = (port: number, offset: number): Buffer =>
  Buffer.concat([
    instruction(0x30, 0, 0, offset), // ldb version
    instruction(0x15, 0, 3, 0x45), // jeq 0x45
    instruction(0x28, 0, 0, offset + 22), // ldh destination port
    instruction(0x15, 0, 1, port), // jeq port
    instruction(0x06, 0, 0, 0xffff_ffff), // ret all
    instruction(0x06, 0, 0, 0), // ret none
  ])
const nothing = instruction(0x06, 0, 0, 0)

describe.skipIf(!privileged)('packet socket', () => {
  inNewNamespace()
  const open = new Set<number>()
  afterEach(() => {
    for (const fd of open) native().close(fd)
    open.clear()
    if (native().interfaceIndex('va')) ip('link del va')
  })

  const packetOpen = (name: string, vnetHeader: boolean, filter: Uint8Array, cooked = false, bufferBytes = 4 << 20): number => {
    const fd = native().packetOpen(native().interfaceIndex(name), cooked, vnetHeader, filter, bufferBytes)
    open.add(fd)
    return fd
  }

  /** A veth pair va–vb with silent ends. */
  const pair = (): void => {
    ip('link add va address 02:00:00:00:00:0a type veth peer name vb address 02:00:00:00:00:0b')
    for (const name of ['va', 'vb']) {
      run('sysctl', '-qw', `net.ipv6.conf.${name}.disable_ipv6=1`)
      ip(`link set ${name} up`)
    }
    // Until the kernel has seen the carrier, the interfaces have a queueing discipline that drops everything.
    for (let tries = 0; ['va', 'vb'].some((name) => /qdisc noop\b|state (?!UP)/.test(ip(`-o link show ${name}`))); tries++) {
      if (tries === 500) throw new Error('the veth pair does not come up')
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 10)
    }
  }

  const readAll = (fd: number, bench: ReturnType<typeof createBench>, before: number, patience?: number): number => {
    const ready = native().poll(Int32Array.of(fd), new Int32Array(1), patience ?? 1_000_000)
    if (patience === undefined) expect(ready).toBe(1)
    return native().readBatch(fd, true, bench.slab, 0, bench.slab.length, before, bench.at, bench.length, bench.at.length)
  }

  const write = (fd: number, bench: ReturnType<typeof createBench>, before: number, count: number, cookedInterface = 0): number[] => {
    native().writeBatch(fd, true, bench.slab, before, bench.at, bench.length, count, bench.result, cookedInterface)
    return [...bench.result]
  }

  it('carries frames with their virtio headers, and only those that the filter takes', () => {
    pair()
    const [a, b] = [packetOpen('va', true, nothing), packetOpen('vb', true, portFilter(2000, 14))]
    const out = createBench(64 * 1024)
    out.put(0, PLAIN, udp(ends, Buffer.from('first')))
    out.put(1, PLAIN, udp({ ...ends, toPort: 2001 }, Buffer.from('other port')))
    out.put(2, Buffer.concat([vnet(NEEDS_CSUM, GSO_NONE, 0, 0, 34, 6), ETHERNET]), udp(ends, Buffer.from('partial'), true))
    expect(write(a, out, 24, 3)).toEqual([3, 0, 0])

    const bench = createBench(256 * 1024)
    expect(readAll(b, bench, 24)).toBe(2)
    expect(bench.packet(0)).toEqual(out.packet(0))
    expect(bench.packet(1)).toEqual(out.packet(2))
    expect(bench.ahead(0, 14)).toEqual(ETHERNET)
    expect(bench.ahead(1, 24)).toEqual(out.ahead(2, 24))
    expect(bench.at[0]).toBe(64)
    expect(bench.at[1]! % 64).toBe(0)
    expect(bench.at[1]).toBeGreaterThanOrEqual(64 + bench.length[0]! + 64)
    expect(native().readBatch(b, true, bench.slab, 0, bench.slab.length, 24, bench.at, bench.length, 8)).toBe(0)
    native().packetSetFilter(b, portFilter(2001, 14))
    expect(write(a, out, 24, 3)).toEqual([3, 0, 0])
    expect(readAll(b, bench, 24)).toBe(1)
    expect(bench.packet(0)).toEqual(out.packet(1))
  })

  it('does not see what leaves by its own interface', () => {
    pair()
    const [a, alsoA] = [packetOpen('va', false, new Uint8Array(0)), packetOpen('va', false, new Uint8Array(0))]
    const bench = createBench(128 * 1024)
    bench.put(0, ETHERNET, udp(ends, Buffer.from('out')))
    expect(write(a, bench, 14, 1)).toEqual([1, 0, 0])
    expect(native().poll(Int32Array.of(a, alsoA), new Int32Array(2), 10_000)).toBe(0)
  })

  it('passes superpackets whole', () => {
    pair()
    const [a, b] = [packetOpen('va', true, nothing), packetOpen('vb', true, new Uint8Array(0))]
    const out = createBench(512 * 1024)
    const header = Buffer.concat([vnet(NEEDS_CSUM, GSO_TCPV4, 54, 1448, 34, 16), ETHERNET])
    const sizes = [65481, 1, 30000, 65481]
    for (const [i, size] of sizes.entries()) {
      const small = size <= 1448
      out.put(i, small ? Buffer.concat([vnet(NEEDS_CSUM, GSO_NONE, 0, 0, 34, 16), ETHERNET]) : header, tcp(ends, Buffer.alloc(size, `${i}`)), 66_048)
    }
    expect(write(a, out, 24, 4)).toEqual([4, 0, 0])
    const bench = createBench(512 * 1024)
    expect(readAll(b, bench, 24)).toBe(4)
    for (const i of sizes.keys()) {
      expect(bench.packet(i).equals(out.packet(i))).toBe(true)
      expect(bench.ahead(i, 24).subarray(0, 2)).toEqual(out.ahead(i, 24).subarray(0, 2))
    }
  })

  it('has superpackets cut by the kernel where the interface cannot', () => {
    pair()
    const [a, b] = [packetOpen('va', true, nothing), packetOpen('vb', true, new Uint8Array(0))]
    const out = createBench(512 * 1024)
    const header = Buffer.concat([vnet(NEEDS_CSUM, GSO_TCPV4, 54, 1448, 34, 16), ETHERNET])
    run('ethtool', '-K', 'va', 'tso', 'off', 'tx', 'off')
    out.put(0, header, tcp(ends, Buffer.alloc(3000)), 66_048)
    expect(write(a, out, 24, 1)).toEqual([1, 0, 0])
    const bench = createBench(512 * 1024)
    expect(readAll(b, bench, 24)).toBe(3)
    expect([0, 1, 2].map((i) => bench.packet(i).length)).toEqual([1488, 1488, 144])
  })

  it('sends and reads batches of more than one system call', () => {
    pair()
    const [a, b] = [packetOpen('va', false, nothing), packetOpen('vb', false, new Uint8Array(0))]
    const out = createBench(1 << 20)
    for (let i = 0; i < 200; i++) out.put(i, ETHERNET, udp({ ...ends, fromPort: i }, Buffer.alloc(i)))
    expect(write(a, out, 14, 200)).toEqual([200, 0, 0])
    const bench = createBench(1 << 20)
    expect(readAll(b, bench, 14)).toBe(200)
    for (let i = 0; i < 200; i++) expect(bench.packet(i).equals(out.packet(i))).toBe(true)
  })

  it('skips what the kernel refuses in the middle of a batch', () => {
    pair()
    const [a, b] = [packetOpen('va', false, nothing), packetOpen('vb', false, new Uint8Array(0))]
    const out = createBench(1 << 20)
    const tooLong = new Set([0, 7, 8, 63, 64, 99])
    for (let i = 0; i < 100; i++) out.put(i, ETHERNET, udp({ ...ends, fromPort: i }, Buffer.alloc(tooLong.has(i) ? 1600 : 10)))
    out.at[50] = out.slab.length
    write(a, out, 14, 100)
    expect(out.result[WRITE_SENT]).toBe(93)
    expect(out.result[WRITE_FAILED]).toBe(7)
    expect(out.result[WRITE_ERRNO]).toBe(EMSGSIZE)
    const bench = createBench(1 << 20)
    expect(readAll(b, bench, 14)).toBe(93)
    const ports = Array.from({ length: 93 }, (_, i) => bench.packet(i).readUInt16BE(20))
    expect(ports).toEqual(Array.from({ length: 100 }, (_, i) => i).filter((i) => !tooLong.has(i) && i !== 50))
  })

  it('counts what the kernel dropped for want of room', () => {
    pair()
    const [a, b] = [packetOpen('va', false, nothing), packetOpen('vb', false, new Uint8Array(0), false, 20_000)]
    const out = createBench(1 << 20)
    for (let i = 0; i < 200; i++) out.put(i, ETHERNET, udp(ends, Buffer.alloc(1000)))
    expect(write(a, out, 14, 200)).toEqual([200, 0, 0])
    const bench = createBench(1 << 20)
    let [count, drops] = [0, 0]
    for (let tries = 0; count + drops < 200 && tries < 50; tries++) {
      count += Math.max(0, readAll(b, bench, 14, 20_000))
      drops += native().packetDrops(b)
    }
    expect(drops).toBeGreaterThan(0)
    expect(count + drops).toBe(200)
    expect(native().packetDrops(b)).toBe(0)
  })

  it('tells once that the link went down, and refuses to send meanwhile', () => {
    pair()
    const a = packetOpen('va', false, new Uint8Array(0))
    ip('link set va down')
    const bench = createBench(128 * 1024)
    const read = (): number => native().readBatch(a, true, bench.slab, 0, bench.slab.length, 14, bench.at, bench.length, 8)
    expect(read()).toBe(-ENETDOWN)
    expect(read()).toBe(0)
    bench.put(0, ETHERNET, udp(ends, Buffer.from('lost')))
    expect(write(a, bench, 14, 1)).toEqual([0, 1, ENETDOWN])
    ip('link set va up')
    expect(write(a, bench, 14, 1)).toEqual([1, 0, 0])
    ip('link del va')
    expect(write(a, bench, 14, 1)).toEqual([0, 1, ENXIO])
  })

  it('works on an interface without Ethernet headers', () => {
    const tun = native().tunOpen('tsn0', true, [1 | 2 | 4])
    open.add(tun.fd)
    run('sysctl', '-qw', 'net.ipv6.conf.tsn0.disable_ipv6=1')
    ip('link set tsn0 up')
    const index = native().interfaceIndex('tsn0')
    const out = createBench(128 * 1024)
    const bench = createBench(256 * 1024)

    // raw, with virtio headers: superpackets pass
    const raw = packetOpen('tsn0', true, portFilter(2000, 0))
    const header = vnet(NEEDS_CSUM, GSO_TCPV4, 40, 1448, 20, 16)
    out.put(0, header, tcp(ends, Buffer.alloc(20_000, 't')), 32_768)
    out.put(1, vnet(NEEDS_CSUM, GSO_NONE, 0, 0, 20, 6), udp(ends, Buffer.from('datagram'), true), 32_768)
    expect(write(raw, out, 10, 2, index)).toEqual([2, 0, 0])
    native().poll(Int32Array.of(tun.fd), new Int32Array(1), 1_000_000)
    expect(native().readBatch(tun.fd, false, bench.slab, 0, bench.slab.length, 10, bench.at, bench.length, 8)).toBe(2)
    expect(bench.packet(0).equals(out.packet(0))).toBe(true)
    expect(bench.packet(1).equals(out.packet(1))).toBe(true)
    expect(bench.ahead(0, 10)).toEqual(header)

    out.put(0, vnet(0, GSO_NONE, 0, 0, 0, 0), udp(ends, Buffer.from('inwards')))
    native().writeBatch(tun.fd, false, out.slab, 10, out.at, out.length, 1, out.result, 0)
    expect(readAll(raw, bench, 10)).toBe(1)
    expect(bench.packet(0)).toEqual(out.packet(0))

    // cooked: no virtio header, the kernel allows it on SOCK_RAW only
    expect(thrownBy(() => packetOpen('tsn0', true, nothing, true))).toMatchObject({ code: 'EINVAL', syscall: 'setsockopt PACKET_VNET_HDR' })
    const cooked = packetOpen('tsn0', false, portFilter(2000, 0), true)
    out.put(0, Buffer.alloc(0), udp(ends, Buffer.from('cooked')))
    expect(write(cooked, out, 0, 1, index)).toEqual([1, 0, 0])
    native().poll(Int32Array.of(tun.fd), new Int32Array(1), 1_000_000)
    expect(native().readBatch(tun.fd, false, bench.slab, 0, bench.slab.length, 10, bench.at, bench.length, 8)).toBe(1)
    expect(bench.packet(0)).toEqual(out.packet(0))
    expect(bench.ahead(0, 10)).toEqual(Buffer.alloc(10))
    out.put(0, vnet(0, GSO_NONE, 0, 0, 0, 0), udp(ends, Buffer.from('inwards again')))
    native().writeBatch(tun.fd, false, out.slab, 10, out.at, out.length, 1, out.result, 0)
    expect(readAll(cooked, bench, 0)).toBe(1)
    expect(bench.packet(0)).toEqual(out.packet(0))
  })

  it('tells the kind and the address of its interface', () => {
    pair()
    const mac = new Uint8Array(6)
    expect(native().packetHardware(packetOpen('va', false, nothing), mac)).toBe(1)
    expect([...mac]).toEqual(MAC_A)
    const short = new Uint8Array(2)
    native().packetHardware(packetOpen('vb', false, nothing), short)
    expect([...short]).toEqual(MAC_B.slice(0, 2))
    expect(thrownBy(() => native().packetHardware(9999, mac))).toMatchObject({ code: 'EBADF', syscall: 'getsockname' })
  })

  it('says what was wrong when it cannot be opened', () => {
    expect(thrownBy(() => packetOpen('lo', false, Buffer.alloc(9)))).toMatchObject({ code: 'EINVAL', errno: 22, syscall: 'setsockopt SO_ATTACH_FILTER' })
    expect(thrownBy(() => packetOpen('lo', false, instruction(0xffff, 0, 0, 0)))).toMatchObject({ code: 'EINVAL', syscall: 'setsockopt SO_ATTACH_FILTER' })
    expect(thrownBy(() => native().packetOpen(12345, false, false, nothing, 0))).toMatchObject({ code: 'ENODEV', syscall: 'bind' })
    expect(thrownBy(() => native().packetOpen(0, false, false, nothing, 0)).message).toBe('argument "ifindex" must be positive')
    expect(thrownBy(() => native().packetDrops(0))).toMatchObject({ syscall: 'getsockopt PACKET_STATISTICS' })
  })
})

describe.skipIf(!privileged)('network namespaces', () => {
  inNewNamespace()

  it('are entered by descriptor, by the calling thread only', () => {
    const first = native().openPath('/proc/thread-self/ns/net')
    ip('link add here type veth peer name there')
    const here = native().interfaceIndex('here')
    expect(here).toBeGreaterThan(0)
    native().unshareNetwork()
    expect(native().interfaceIndex('here')).toBe(0)
    native().setNetworkNamespace(first)
    expect(native().interfaceIndex('here')).toBe(here)
    native().close(first)
  })

  it('refuse descriptors of something else', () => {
    const file = native().openPath('/proc/self/status')
    expect(thrownBy(() => native().setNetworkNamespace(file))).toMatchObject({ code: 'EINVAL', syscall: 'setns' })
    native().close(file)
  })
})

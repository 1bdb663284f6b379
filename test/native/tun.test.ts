import { createSocket, type Socket } from 'node:dgram'
import { once } from 'node:events'
import { afterEach, describe, expect, it } from 'vitest'
import { native, WRITE_ERRNO, WRITE_FAILED, WRITE_SENT, type TunOpened } from '../../src/native.js'
import { inNewNamespace, ip, privileged, run, thrownBy } from './network.js'
import { createBench, GSO_NONE, GSO_UDP_L4, naiveSum, NEEDS_CSUM, udp, vnet } from './packets.js'

const [CSUM, TSO4, TSO6, USO] = [1, 2, 4, 0x60]
const EVERYTHING = [CSUM | TSO4 | TSO6 | USO, CSUM | TSO4 | TSO6, CSUM]
const [EINVAL, EBADF, EBADFD] = [22, 9, 77]

const KERNEL = [10, 9, 0, 1] as const
const PEER = [10, 9, 0, 2] as const
const fromPeer = (toPort: number) => ({ from: PEER, to: KERNEL, fromPort: 4000, toPort })

describe.skipIf(!privileged)('TUN', () => {
  inNewNamespace()
  let tun: TunOpened | undefined
  const sockets: Socket[] = []

  afterEach(() => {
    if (tun) native().close(tun.fd)
    tun = undefined
    for (const socket of sockets.splice(0)) socket.close()
  })

  /** Opens the TUN `name` and gives the kernel 10.9.0.1/24 on it. */
  const open = (name: string, vnetHeader: boolean): number => {
    tun = native().tunOpen(name, vnetHeader, EVERYTHING)
    run('sysctl', '-qw', `net.ipv6.conf.${name}.disable_ipv6=1`)
    ip(`addr add 10.9.0.1/24 dev ${name}`)
    ip(`link set ${name} up`)
    return tun.fd
  }

  const socketAt = async (): Promise<{ socket: Socket; port: number; received: Buffer[] }> => {
    const socket = createSocket('udp4')
    sockets.push(socket)
    socket.bind(0, '10.9.0.1')
    await once(socket, 'listening')
    const received: Buffer[] = []
    socket.on('message', (message) => received.push(message))
    return { socket, port: socket.address().port, received }
  }

  const send = (socket: Socket, payload: Uint8Array): Promise<unknown> =>
    new Promise((resolve, reject) => socket.send(payload, 53, '10.9.0.2', (error) => (error ? reject(error) : resolve(undefined))))

  it('tells the name and the offloads that the kernel accepted', () => {
    tun = native().tunOpen('tsn%d', true, [0x4000_0000, CSUM | TSO4, CSUM])
    expect(tun.name).toBe('tsn0')
    expect(tun.offloads).toBe(CSUM | TSO4)
    expect(native().interfaceIndex('tsn0')).toBeGreaterThan(0)
    expect(native().interfaceIndex('tsn1')).toBe(0)
    expect(ip('-d link show tsn0')).toMatch(/tun type tun pi off vnet_hdr on persist off/)
  })

  it('has no offloads without the virtio header, or when all are refused', () => {
    tun = native().tunOpen('tsn0', false, EVERYTHING)
    expect(tun.offloads).toBe(0)
    native().close(tun.fd)
    tun = native().tunOpen('tsn0', true, [0x4000_0000])
    expect(tun.offloads).toBe(0)
  })

  it('throws when the name is taken or impossible', () => {
    tun = native().tunOpen('tsn0', true, [])
    expect(thrownBy(() => native().tunOpen('tsn0', true, []))).toMatchObject({
      code: 'EBUSY',
      errno: 16,
      syscall: 'ioctl TUNSETIFF',
      message: "EBUSY: Device or resource busy, ioctl TUNSETIFF 'tsn0'",
    })
    expect(thrownBy(() => native().tunOpen('lo', true, []))).toMatchObject({ code: 'EINVAL' })
    expect(thrownBy(() => native().tunOpen('a-name-too-long-', true, [])).message).toBe('argument "name" must have at most 15 bytes, not 16')
    expect(thrownBy(() => native().tunOpen('tsn1', true, ['x' as unknown as number])).message).toBe('argument "offloads" must be a number')
    expect(native().interfaceIndex('tsn1')).toBe(0)
  })

  it('reads what the kernel sends, each packet at a multiple of 64 with its headroom', async () => {
    const fd = open('tsn0', true)
    const { socket, port } = await socketAt()
    const payloads = [0, 1, 100, 1472].map((size) => Buffer.alloc(size, 'x'))
    for (const payload of payloads) await send(socket, payload)

    const bench = createBench(256 * 1024)
    const start = 1000
    expect(native().poll(Int32Array.of(fd), new Int32Array(1), 1_000_000)).toBe(1)
    const count = native().readBatch(fd, false, bench.slab, start, bench.slab.length, 10, bench.at, bench.length, 256)
    expect(count).toBe(payloads.length)
    for (const [i, payload] of payloads.entries()) {
      const packet = bench.packet(i)
      expect(bench.at[i]! % 64).toBe(0)
      expect(bench.at[i]).toBeGreaterThanOrEqual(i === 0 ? start + 64 : bench.at[i - 1]! + bench.length[i - 1]! + 64)
      expect(packet.readUInt16BE(2)).toBe(packet.length)
      expect(packet.subarray(12, 20)).toEqual(Buffer.from([...KERNEL, ...PEER]))
      expect(packet.readUInt16BE(20)).toBe(port)
      expect(packet.subarray(28)).toEqual(payload)
      expect(bench.ahead(i, 10)).toEqual(vnet(NEEDS_CSUM, GSO_NONE, 0, 0, 20, 6))
    }
    expect(bench.slab.subarray(0, start).every((byte) => byte === 0)).toBe(true)
    expect(native().readBatch(fd, false, bench.slab, 0, bench.slab.length, 10, bench.at, bench.length, 256)).toBe(0)
  })

  it('reads without the virtio header too, then with whole checksums', async () => {
    const fd = open('tsn0', false)
    const { socket } = await socketAt()
    await send(socket, Buffer.from('plain'))
    const bench = createBench(128 * 1024)
    native().poll(Int32Array.of(fd), new Int32Array(1), 1_000_000)
    expect(native().readBatch(fd, false, bench.slab, 0, bench.slab.length, 0, bench.at, bench.length, 8)).toBe(1)
    const packet = bench.packet(0)
    const pseudo = naiveSum(Buffer.from([...KERNEL, ...PEER, 0, 17, 0, packet.length - 20]))
    expect(naiveSum(packet.subarray(20), pseudo)).toBe(0xffff)
  })

  it('stops at max, and where no whole packet would fit', async () => {
    const fd = open('tsn0', true)
    const { socket } = await socketAt()
    for (let i = 0; i < 5; i++) await send(socket, Buffer.of(i))
    const bench = createBench(256 * 1024)
    const read = (end: number, max: number): number => native().readBatch(fd, false, bench.slab, 0, end, 10, bench.at, bench.length, max)
    expect(read(bench.slab.length, 0)).toBe(0)
    expect(read(64 + 65535 - 1, 256)).toBe(0)
    expect(read(64 + 65535, 256)).toBe(1)
    expect(bench.packet(0)[28]).toBe(0)
    expect(read(bench.slab.length, 2)).toBe(2)
    expect([bench.packet(0)[28], bench.packet(1)[28]]).toEqual([1, 2])
    expect(read(bench.slab.length, 256)).toBe(2)
  })

  it('never reads outside of the slab or the columns', () => {
    const fd = open('tsn0', true)
    const { slab, at, length } = createBench(200_000, 16)
    const read = (start: number, end: number, before: number, max: number): number =>
      native().readBatch(fd, false, slab, start, end, before, at, length, max)
    expect(read(-1, 200_000, 10, 16)).toBe(-EINVAL)
    expect(read(0, 200_001, 10, 16)).toBe(-EINVAL)
    expect(read(100, 99, 10, 16)).toBe(-EINVAL)
    expect(read(0, 200_000, -1, 16)).toBe(-EINVAL)
    expect(read(0, 200_000, 65, 16)).toBe(-EINVAL)
    expect(read(0, 200_000, 10, 17)).toBe(-EINVAL)
    expect(read(0, 200_000, 10, -1)).toBe(-EINVAL)
    expect(read(0, 2 ** 33, 10, 16)).toBe(-EINVAL)
    expect(read(200_000, 200_000, 10, 16)).toBe(0)
  })

  it('gives up on a descriptor that refuses every read with EINVAL', () => {
    const file = native().openPath('/proc/thread-self/ns/net')
    const { slab, at, length } = createBench(200_000, 16)
    expect(native().readBatch(file, false, slab, 0, slab.length, 10, at, length, 16)).toBe(-EINVAL)
    native().close(file)
  })

  it('delivers packets that are written, with whole or partial checksums', async () => {
    const fd = open('tsn0', true)
    const { socket, port, received } = await socketAt()
    const bench = createBench(64 * 1024)
    bench.put(0, vnet(0, GSO_NONE, 0, 0, 0, 0), udp(fromPeer(port), Buffer.from('whole')))
    bench.put(1, vnet(NEEDS_CSUM, GSO_NONE, 0, 0, 20, 6), udp(fromPeer(port), Buffer.from('partial'), true))
    native().writeBatch(fd, false, bench.slab, 10, bench.at, bench.length, 2, bench.result, 0)
    expect([...bench.result]).toEqual([2, 0, 0])
    while (received.length < 2) await once(socket, 'message')
    expect(received.map(String)).toEqual(['whole', 'partial'])
  })

  it('has superpackets cut by the kernel', async () => {
    const fd = open('tsn0', true)
    const { socket, port, received } = await socketAt()
    const bench = createBench(64 * 1024)
    const payload = Buffer.concat([Buffer.alloc(1000, 'a'), Buffer.alloc(1000, 'b'), Buffer.alloc(500, 'c')])
    bench.put(0, vnet(NEEDS_CSUM, GSO_UDP_L4, 28, 1000, 20, 6), udp(fromPeer(port), payload, true))
    native().writeBatch(fd, false, bench.slab, 10, bench.at, bench.length, 1, bench.result, 0)
    expect([...bench.result]).toEqual([1, 0, 0])
    while (received.length < 3) await once(socket, 'message')
    expect(Buffer.concat(received)).toEqual(payload)
    expect(received.map((message) => message.length)).toEqual([1000, 1000, 500])
  })

  it('skips packets that fail or lie outside of the slab, and counts them', async () => {
    const fd = open('tsn0', true)
    const { socket, port, received } = await socketAt()
    const bench = createBench(64 * 1024, 9)
    const good = udp(fromPeer(port), Buffer.from('good'))
    for (let i = 0; i < 9; i++) bench.put(i, vnet(0, GSO_NONE, 0, 0, 0, 0), good)
    bench.at[1] = -5
    bench.at[2] = 9
    bench.at[3] = bench.slab.length - good.length + 1
    bench.at[4] = 0x7fffffff
    bench.length[5] = -1
    bench.length[6] = 0x7fffffff
    bench.length[7] = 0
    native().writeBatch(fd, false, bench.slab, 10, bench.at, bench.length, 12, bench.result, 0)
    expect(bench.result[WRITE_SENT]).toBe(2)
    expect(bench.result[WRITE_FAILED]).toBe(10)
    expect(bench.result[WRITE_ERRNO]).toBe(EINVAL)
    while (received.length < 2) await once(socket, 'message')
    expect(received.map(String)).toEqual(['good', 'good'])
    expect(thrownBy(() => native().writeBatch(fd, false, bench.slab, 10, bench.at, bench.length, 1, new Int32Array(2), 0)).code).toBe('ERR_OUT_OF_RANGE')
  })

  it('tells when the device is gone', () => {
    const fd = open('tsn0', true)
    ip('link del tsn0')
    const bench = createBench(128 * 1024)
    const read = (): number => native().readBatch(fd, false, bench.slab, 0, bench.slab.length, 10, bench.at, bench.length, 8)
    expect(read()).toBe(-EBADFD)
    bench.put(0, vnet(0, GSO_NONE, 0, 0, 0, 0), udp(fromPeer(9), Buffer.from('lost')))
    native().writeBatch(fd, false, bench.slab, 10, bench.at, bench.length, 1, bench.result, 0)
    expect([...bench.result]).toEqual([0, 1, EBADFD])
    native().close(fd)
    tun = undefined
    expect(read()).toBe(-EBADF)
  })
})

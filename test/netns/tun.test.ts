import { createSocket, type Socket } from 'node:dgram'
import { once } from 'node:events'
import { type AddressInfo, connect, createServer } from 'node:net'
import { Transform } from 'node:stream'
import { afterEach, describe, expect, it } from 'vitest'
import { TsnatError } from '../../src/errors.js'
import { native } from '../../src/native.js'
import { checksum, ipv4, tcp } from '../../src/stack/wire/index.js'
import { checkPacket } from '../../src/testing/check-packet.js'
import { buildUdp } from '../../src/testing/packets.js'
import { Tun, type TunOptions } from '../../src/tun.js'
import { inNewNamespace, ip, run, thrownBy } from '../native/network.js'
import { runProgram, testNamespace } from './host-support.js'

const KERNEL = '10.9.0.1'
const PEER = '10.9.0.2'

describe('Tun', () => {
  inNewNamespace()
  const other = testNamespace()
  const tuns: Tun[] = []
  const sockets: Socket[] = []

  afterEach(() => {
    for (const tun of tuns.splice(0)) tun.release()
    for (const socket of sockets.splice(0)) socket.close()
  })

  const make = (options?: TunOptions): Tun => {
    const tun = new Tun(options)
    tuns.push(tun)
    return tun
  }

  /** Up, with an address, and without the packets that IPv6 sends by itself. */
  const makeUp = (options: TunOptions = {}, address = `${KERNEL}/24`): Tun => {
    const tun = make(options)
    run('sysctl', '-qw', `net.ipv6.conf.${tun.name}.disable_ipv6=1`)
    tun.ipv4 = address
    tun.isUp = true
    return tun
  }

  const bind = async (address: string): Promise<Socket> => {
    const socket = createSocket('udp4')
    sockets.push(socket)
    socket.bind(0, address)
    await once(socket, 'listening')
    return socket
  }

  const send = (socket: Socket, payload: string): Promise<unknown> =>
    new Promise((resolve, reject) => socket.send(payload, 53, PEER, (error) => (error ? reject(error) : resolve(undefined))))

  it('has the first free name, or the one asked for', () => {
    expect(make().name).toBe('tun0')
    expect(make().name).toBe('tun1')
    expect(make({ name: 'lan%d' }).name).toBe('lan0')
    expect(make({ name: 'tun7' }).name).toBe('tun7')
    expect(ip('-d link show tun7')).toMatch(/tun type tun pi off vnet_hdr off persist off/)
  })

  it('shows and changes what the kernel has', () => {
    const tun = make()
    expect([tun.mtu, tun.ipv4, tun.isUp, tun.queueLength]).toEqual([1500, null, false, 500])
    tun.mtu = 1400
    tun.ipv4 = '10.1.2.1/24'
    tun.isUp = true
    tun.queueLength = 1000
    expect([tun.mtu, tun.ipv4, tun.isUp, tun.queueLength]).toEqual([1400, '10.1.2.1/24', true, 1000])
    expect(ip('link show tun0')).toMatch(/<POINTOPOINT,MULTICAST,NOARP,UP,LOWER_UP> mtu 1400 .* qlen 1000/)
    expect(ip('-o -4 address show tun0')).toContain('inet 10.1.2.1/24 ')
    expect(ip('route show dev tun0')).toContain('10.1.2.0/24')

    ip('link set tun0 mtu 1300 down')
    expect([tun.mtu, tun.isUp]).toEqual([1300, false])
    tun.isUp = false
    for (const address of ['10.1.2.1/32', '172.16.0.9/30', '172.16.0.9/1']) {
      tun.ipv4 = address
      expect(tun.ipv4).toBe(address)
      expect(ip('-o -4 address show tun0').match(/inet \S+/g)).toEqual([`inet ${address}`])
    }
    tun.ipv4 = null
    tun.ipv4 = null
    expect(tun.ipv4).toBeNull()
    expect(ip('-o -4 address show tun0')).toBe('')
  })

  it('emits each packet as a buffer of its own', async () => {
    const tun = makeUp()
    const socket = await bind(KERNEL)
    const packets: Buffer[] = []
    const four = new Promise<void>((resolve) => tun.on('data', (packet: Buffer) => { if (packets.push(packet) === 4) resolve() }))
    for (const payload of ['', 'one', 'x'.repeat(1472), 'last']) await send(socket, payload)
    await four
    expect(packets.map((packet) => packet.subarray(28).toString())).toEqual(['', 'one', 'x'.repeat(1472), 'last'])
    for (const packet of packets) expect(checkPacket(packet)).toEqual([])
    expect(new Set(packets.map((packet) => packet.buffer === packets[0]!.buffer && packet.byteOffset)).size).toBe(4)
  })

  it('takes packets that are written', async () => {
    const tun = makeUp()
    const socket = await bind(KERNEL)
    const { port } = socket.address()
    const packet = buildUdp({ source: PEER, destination: KERNEL, sourcePort: 53, destinationPort: port, payload: Buffer.from('hello') })
    expect(tun.write(packet)).toBe(true)
    const [message] = (await once(socket, 'message')) as [Buffer]
    expect(message.toString()).toBe('hello')
    expect(tun.lost).toBe(0)
  })

  it('counts packets that the kernel does not take, and goes on', async () => {
    const tun = makeUp()
    const socket = await bind(KERNEL)
    const { port } = socket.address()
    const packet = buildUdp({ source: PEER, destination: KERNEL, sourcePort: 53, destinationPort: port })
    tun.isUp = false
    tun.write(packet)
    tun.isUp = true
    tun.write(Buffer.of(0xff, 1, 2))
    tun.write(new Uint8Array(0))
    expect(tun.lost).toBe(3)
    tun.write(packet)
    await once(socket, 'message')
    expect(tun.lost).toBe(3)
  })

  it('fails for what is no packet', async () => {
    const tun = make()
    const failed = once(tun, 'error')
    tun.write('text')
    expect(String((await failed)[0])).toBe('TypeError: a packet must be a Buffer or a Uint8Array')
    expect(tun.destroyed).toBe(true)
  })

  it('leaves packets in the kernel while the stream is full', async () => {
    const tun = makeUp({ highWaterMark: 2 })
    tun.queueLength = 10
    const socket = await bind(KERNEL)
    const readable = once(tun, 'readable')
    for (let number = 0; number < 20; number++) await send(socket, String(number))
    tun.read(0)
    await readable
    while (tun.readableLength < 2) await new Promise((resolve) => setImmediate(resolve))
    for (let turn = 0; turn < 20; turn++) await new Promise((resolve) => setImmediate(resolve))
    expect(tun.readableLength).toBe(2)
    const received: string[] = []
    const ten = new Promise<void>((resolve) => tun.on('data', (packet: Buffer) => { if (received.push(packet.subarray(28).toString()) === 10) resolve() }))
    await ten
    // Ten were kept, in order; the kernel dropped the others as they came.
    expect(received).toEqual(Array.from({ length: 10 }, (_, number) => String(number)))
  })

  it('can be piped: a TCP connection between two interfaces', async () => {
    // Both ends are this kernel: 10.8.0.1 reaches 10.9.0.1 as 10.8.0.2, and is seen by it as 10.9.0.2.
    const left = makeUp({ name: 'left' }, '10.8.0.1/24')
    const right = makeUp({ name: 'right' }, '10.9.0.1/24')
    const renumber = (from: number, to: number): Transform =>
      new Transform({
        objectMode: true,
        transform(packet: Buffer, _encoding, done) {
          const view = new DataView(packet.buffer, packet.byteOffset, packet.length)
          ipv4.setSource(view, 0, 0x0a000002 | (to << 16))
          ipv4.setDestination(view, 0, 0x0a000001 | (to << 16))
          const once = checksum.delta16(0x0a00 | from, 0x0a00 | to)
          const delta = checksum.add(once, once)
          ipv4.setChecksum(view, 0, checksum.update(ipv4.checksum(view, 0), delta))
          tcp.setChecksum(view, 20, checksum.update(tcp.checksum(view, 20), delta))
          done(null, packet)
        },
      })
    left.pipe(renumber(8, 9)).pipe(right)
    right.pipe(renumber(9, 8)).pipe(left)
    const sent = Buffer.alloc(1_000_000, 'tsnat ')
    const server = createServer((socket) => socket.pipe(socket)).listen(0, '10.9.0.1')
    await once(server, 'listening')
    const client = connect({ port: (server.address() as AddressInfo).port, host: '10.8.0.2', localAddress: '10.8.0.1' })
    client.end(sent)
    const echoed: Buffer[] = []
    for await (const chunk of client) echoed.push(chunk as Buffer)
    server.close()
    expect(Buffer.concat(echoed).equals(sent)).toBe(true)
  })

  it('is gone after release', async () => {
    const tun = makeUp()
    tun.resume()
    const closed = once(tun, 'close')
    tun.release()
    expect(native().interfaceIndex('tun0')).toBe(0)
    tun.release()
    await closed
    expect(tun.destroyed).toBe(true)
    expect(thrownBy(() => tun.mtu)).toMatchObject({ name: 'TsnatError', code: 'TUN_RELEASED' })
    expect(thrownBy(() => (tun.isUp = true))).toMatchObject({ code: 'TUN_RELEASED' })
    expect(make().name).toBe('tun0')
  })

  it('may be released by whoever hears its packets', async () => {
    const tun = makeUp()
    const socket = await bind(KERNEL)
    let heard = 0
    tun.on('data', () => {
      heard++
      tun.release()
    })
    const closed = once(tun, 'close')
    for (let number = 0; number < 5; number++) await send(socket, 'x')
    await closed
    expect(heard).toBe(1)
  })

  it('ends with an error when somebody deletes the interface', async () => {
    const tun = makeUp()
    tun.resume()
    const failed = once(tun, 'error')
    ip('link del tun0')
    expect((await failed)[0]).toMatchObject({ code: 'INTERFACE_GONE', message: 'the interface "tun0" is gone' })
    const other = make()
    ip('link del tun0')
    expect(thrownBy(() => other.mtu)).toMatchObject({ code: 'INTERFACE_GONE' })
    expect(thrownBy(() => (other.mtu = 1400))).toMatchObject({ code: 'INTERFACE_GONE' })
    const lost = once(other, 'error')
    other.write(buildUdp({ source: PEER, destination: KERNEL, sourcePort: 1, destinationPort: 2 }))
    expect((await lost)[0]).toMatchObject({ code: 'INTERFACE_GONE' })
  })

  it('stays with the namespace it was made in', () => {
    const tun = make()
    const before = native().openPath('/proc/thread-self/ns/net')
    try {
      native().unshareNetwork()
      tun.mtu = 1280
      expect(tun.mtu).toBe(1280)
    } finally {
      native().setNetworkNamespace(before)
      native().close(before)
    }
    expect(ip('link show tun0')).toContain('mtu 1280')
  })

  it('refuses what cannot be, with a way to mend it', () => {
    const refusal = (call: () => unknown): string => {
      const error = thrownBy(call) as unknown
      expect(error).toBeInstanceOf(TsnatError)
      const { code, message, hint } = error as TsnatError
      return `${code}: ${message} (${hint})`
    }
    const tun = make()
    expect(refusal(() => new Tun({ name: 'tun0' }))).toBe(
      'INTERFACE_IN_USE: cannot make the TUN "tun0": EBUSY (another program has this TUN open: choose another name, or "tun%d" for the first that is free)',
    )
    expect(refusal(() => new Tun({ name: 'lo' }))).toMatch(/^INTERFACE_IN_USE: cannot make the TUN "lo": EINVAL \(an interface of this name exists/)
    for (const name of ['', 'a b', 'a/b', '..', 'sixteen-letters-']) {
      expect(refusal(() => new Tun({ name }))).toMatch(/^TUN_VALUE: ".*" is no interface name \(give 1 to 15 characters/)
    }
    for (const mtu of [67, 65536, 1400.5, NaN]) expect(refusal(() => (tun.mtu = mtu))).toBe(`TUN_VALUE: the MTU is ${mtu} (give a whole number from 68 to 65535)`)
    for (const address of ['10.1.2.1', '10.1.2.256/24', '10.1.2.1/33', '10.1.2.1/0', '0.0.0.0/8', '']) {
      expect(refusal(() => (tun.ipv4 = address))).toMatch(/^TUN_VALUE: ".*" is no address with prefix length \(give an IPv4 address/)
    }
    expect(refusal(() => (tun.ipv4 = '224.0.0.1/24'))).toMatch(/^TUN_SETTING: cannot set the address 224.0.0.1\/24 of "tun0": E/)
    expect(refusal(() => (tun.queueLength = -1))).toMatch(/^TUN_VALUE: the queue length is -1/)
    expect(tun.ipv4).toBeNull()
  })

  it('says what right is missing', async () => {
    const program = `
      import { execFileSync } from 'node:child_process'
      import { Tun } from 'src/tun.js'
      if (process.argv[2] === undefined) {
        process.stdout.write(execFileSync('setpriv', ['--bounding-set', '-net_admin', process.execPath, process.argv[1], 'child'], { encoding: 'utf8' }))
      } else {
        try {
          new Tun({ name: 'tun5' })
        } catch (error) {
          console.log(error.message, '|', error.code, error.exitCode, error.hint)
        }
      }`
    expect(await runProgram(other, program)).toMatch(
      /^cannot make the TUN "tun5": EPERM \| MISSING_CAPABILITY 77 run as root or with CAP_NET_ADMIN/,
    )
  })
})

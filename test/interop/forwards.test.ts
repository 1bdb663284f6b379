/**
 * Static forwards: servers inside, reached at the outside address.
 *
 *     second 192.168.7.2 ── client 10.77.0.2 tun0 ┈┈┈ gateway 203.0.113.1 ── 203.0.113.9 server ── 192.0.2.2 far
 *
 * The servers run on the client. `second` is another inside host. The link to `far` is narrow on the server's side only, so
 * that what comes from inside meets it half-way.
 */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { LabNamespace, LabProcess } from '../../src/testing/lab/index.js'
import { randomFile, sha256 } from './files.js'
import { startNginx } from './nginx.js'
import { Bed, GATEWAY, output, SERVER } from './support.js'

const INSIDE = '10.77.0.2'
const SECOND = '192.168.7.2'
const FAR = '192.0.2.2'
const NARROW = 1300
const BYTES = 5 << 20

/** Answers HTTP with the address that asks and the port that was asked, on each of the ports in its arguments. */
const TELLER = `
  import { createServer } from 'node:http'
  const ports = process.argv.slice(1).map(Number)
  let open = 0
  for (const port of ports) {
    createServer(({ socket }, response) => response.end(socket.remoteAddress + ' ' + port)).listen(port, '0.0.0.0', () => {
      if (++open === ports.length) console.log('listening')
    })
  }`

const startTeller = async (where: LabNamespace, ...ports: number[]): Promise<LabProcess> => {
  const teller = where.node(TELLER, ports.map(String))
  await teller.waitFor(/listening/)
  return teller
}

const curl = (where: LabNamespace, port: number, ...args: string[]): Promise<string> =>
  output(where, 'curl', ['--silent', '--show-error', '--fail', '--max-time', '10', ...args, `http://${GATEWAY}:${port}/${args.includes('--output') ? 'file' : ''}`])

/** How curl fails: 7 refused, 28 no answer. */
const failure = async (where: LabNamespace, port: number, ...args: string[]): Promise<number | null> =>
  (await where.run('curl', ['--silent', '--max-time', '2', ...args, `http://${GATEWAY}:${port}/`])).code

const dig = async (where: LabNamespace, port: number): Promise<string> =>
  (await where.run('dig', [`@${GATEWAY}`, '-p', String(port), '+tries=1', '+time=2', '+short', 'inside.example.test'])).stdout.trim()

describe('on the host\'s address', () => {
  let bed: Bed
  let second: LabNamespace
  let far: LabNamespace
  let wanted: string

  beforeAll(async () => {
    bed = await Bed.build(['curl', 'nginx', 'dnsmasq', 'dig', 'traceroute'], { lan: 'inside' })
    const { lab, client, server } = bed
    second = await lab.namespace('second')
    await lab.link(client, { name: 'eth1', address: '192.168.7.1/24' }, second, { name: 'eth0', address: `${SECOND}/24` })
    await second.route('default', '192.168.7.1')
    client.sysctl('net.ipv4.ip_forward', 1)
    far = await lab.namespace('far')
    await lab.link(server, { name: 'eth1', address: '192.0.2.1/24', mtu: NARROW }, far, { name: 'eth0', address: `${FAR}/24` })
    await far.route('default', '192.0.2.1')
    server.sysctl('net.ipv4.ip_forward', 1)
    // Linux limits the errors that it sends; the tests want them all.
    server.sysctl('net.ipv4.icmp_ratelimit', 0)
    await server.address('eth0', '198.51.100.10/32')

    const files = await startNginx(client, lab.temporaryDirectory())
    wanted = randomFile(join(files, 'file'), BYTES)
    await startTeller(client, 7000, 7001, 7002, 7003)
    const hosts = join(lab.temporaryDirectory(), 'hosts')
    writeFileSync(hosts, '192.0.2.99 inside.example.test\n')
    const names = client.spawn('dnsmasq', [
      '--keep-in-foreground', '--log-facility=-', '--no-resolv', '--no-hosts', '--user=root', '--pid-file', `--addn-hosts=${hosts}`,
    ])
    await names.waitFor(/read .*hosts/)
    await bed.up(
      '--forward', `tcp:8080:${INSIDE}:80`,
      '--forward', `tcp:9000-9003:${INSIDE}:7000`,
      '--forward', `udp:5353:${INSIDE}:53`,
      '--forward', `tcp:9100:${INSIDE}:7000@198.51.100.0/24`,
      '--forward', `tcp:9200:${INSIDE}:7999`,
      '--forward', `udp:9200:${INSIDE}:7999`,
      '--forward', `tcp:40000:${INSIDE}:7000`,
    )
  })
  afterAll(async () => {
    await bed.stop()
    await bed.close()
  })

  const expectFile = async (where: LabNamespace): Promise<void> => {
    const local = join(bed.lab.temporaryDirectory(), 'file')
    await curl(where, 8080, '--output', local)
    expect(await sha256(local)).toBe(wanted)
  }

  it('a server inside is reached from outside, and sees who asks', async () => {
    await expectFile(bed.server)
    expect(await curl(bed.server, 9000)).toBe(`${SERVER} 7000`)
    const [flow] = await bed.flows('-p', 'tcp', '--dport', '9000')
    expect(flow).toMatchObject({
      original: { src: SERVER, dst: GATEWAY, dport: 9000 },
      reply: { src: INSIDE, sport: 7000, dst: SERVER },
      replied: true,
    })
  })

  it('many at a time', async () => {
    const answers = await Promise.all(Array.from({ length: 40 }, () => curl(bed.server, 9001)))
    expect(new Set(answers)).toEqual(new Set([`${SERVER} 7001`]))
  })

  it('a range leads to the ports in their order', async () => {
    const ports = [9000, 9001, 9002, 9003]
    expect(await Promise.all(ports.map((port) => curl(bed.server, port)))).toEqual(ports.map((port) => `${SERVER} ${port - 2000}`))
    for (const beside of [8999, 9004]) expect(await failure(bed.server, beside)).toBe(7)
  })

  it('UDP', async () => {
    expect(await dig(bed.server, 5353)).toBe('192.0.2.99')
    expect(await dig(far, 5353)).toBe('192.0.2.99')
  })

  it('a prefix keeps others out', async () => {
    expect(await curl(bed.server, 9100, '--interface', '198.51.100.10')).toBe('198.51.100.10 7000')
    expect(await failure(bed.server, 9100)).toBe(28)
    expect(await failure(far, 9100)).toBe(28)
    expect(await bed.flows('--dport', '9100')).toHaveLength(1)
  })

  it('from inside by the outside address, as which the one who asks appears', async () => {
    for (const where of [second, bed.client]) {
      await expectFile(where)
      expect(await curl(where, 9002)).toBe(`${GATEWAY} 7002`)
      expect(await dig(where, 5353)).toBe('192.0.2.99')
    }
    // A prefix of outside hosts holds inside hosts off, too.
    expect(await failure(second, 9100)).toBe(28)
  })

  it('the refusal of a closed port comes back, to outside and inside', async () => {
    for (const where of [bed.server, far, second]) {
      expect(await failure(where, 9200)).toBe(7)
      expect(await dig(where, 9200)).toMatch(/203\.0\.113\.1#9200: connection refused/)
    }
  })

  it('path MTU discovery of the server inside works', async () => {
    await expectFile(far)
    expect(await output(bed.client, 'ip', ['route', 'get', FAR])).toContain(`mtu ${NARROW}`)
  })

  it('traceroute sees the gateway, and then the server inside, which has the same address', async () => {
    const text = await output(far, 'traceroute', ['-n', '-m', '6', '-w', '2', '-q', '1', '-T', '-p', '8080', GATEWAY])
    const hops = text.trimEnd().split('\n').slice(1).map((line) => line.trim().split(/\s+/)[1])
    expect(hops, JSON.stringify((await bed.status()).drops)).toEqual(['192.0.2.1', GATEWAY, GATEWAY])
  })

  it('a forwarded port is nobody else\'s: an inside host that would keep it gets another', async () => {
    const server = await startTeller(bed.server, 6000)
    await output(second, 'curl', ['--silent', '--fail', '--local-port', '40000', `http://${SERVER}:6000/`])
    const [flow] = await bed.flows('-p', 'tcp', '--dport', '6000')
    expect(flow?.original.sport).toBe(40_000)
    expect(flow?.reply.dport).not.toBe(40_000)
    expect(await curl(bed.server, 40_000)).toBe(`${SERVER} 7000`)
    server.kill()
  })

  it('a server inside opens connections of its own from the forwarded port', async () => {
    const server = await startTeller(bed.server, 6001)
    expect(await output(bed.client, 'curl', ['--silent', '--fail', '--local-port', '7999', `http://${SERVER}:6001/`])).toBe(`${GATEWAY} 6001`)
    server.kill()
  })

  it('only what should be is dropped', async () => {
    const { drops } = await bed.status()
    expect(Object.keys(drops).filter((reason) => !['no-flow', 'ttl-expired', 'to-gateway'].includes(reason))).toEqual([])
  })
})

describe('beside programs of the host', () => {
  /** Asks until the answer is this; the host's sockets are looked at every few seconds. */
  const until = async (ask: () => Promise<string>, wanted: string): Promise<void> => {
    const deadline = Date.now() + 20_000
    for (let answer = ''; answer !== wanted;) {
      answer = await ask().catch(String)
      if (Date.now() > deadline) expect(answer).toBe(wanted)
    }
  }

  it.concurrent.each(['packet', 'raw'])('ports that they listen on are theirs, as long as they do; driver %s', async (driver) => {
    const bed = await Bed.build(['curl'], { lan: 'inside' })
    try {
      await startTeller(bed.client, 7000, 7001, 7002)
      const program = await startTeller(bed.gateway, 9001)
      // The same port of the other protocol is another port.
      const udp = bed.gateway.node(`import { createSocket } from 'node:dgram'; createSocket('udp4').bind(9002, () => console.log('bound'))`)
      await udp.waitFor(/bound/)
      await bed.up('--wan-driver', driver, '--forward', `tcp:9000-9002:${INSIDE}:7000`)
      const ask = (port: number) => (): Promise<string> => curl(bed.server, port)

      expect(await ask(9000)()).toBe(`${SERVER} 7000`)
      expect(await ask(9001)()).toBe(`${SERVER} 9001`)
      expect(await ask(9002)()).toBe(`${SERVER} 7002`)
      expect(await bed.flows('--dport', '9001')).toEqual([])

      program.kill()
      await program.done
      await until(ask(9001), `${SERVER} 7001`)
      const later = await startTeller(bed.gateway, 9000)
      await until(ask(9000), `${SERVER} 9000`)
      later.kill()
      await later.done
      await until(ask(9000), `${SERVER} 7000`)
      await bed.stop(/^(.*a program of this host has forwarded ports.*\n)+$/)
    } finally {
      await bed.close()
    }
  })
})

describe('on an address of tsnat\'s own', () => {
  const OWNED = '203.0.113.50'

  it('from outside, and from inside through the captured interface', async () => {
    const bed = await Bed.build(['curl', 'dig', 'ping'])
    try {
      await startTeller(bed.client, 7000)
      await startTeller(bed.gateway, 9000)
      await bed.up('--wan-address', `owned:${OWNED}/24`, '--forward', `tcp:9000:${bed.address}:7000`)
      const ask = (where: LabNamespace): Promise<string> => output(where, 'curl', ['--silent', '--show-error', '--fail', '--max-time', '5', `http://${OWNED}:9000/`])
      expect(await ask(bed.server)).toBe(`${SERVER} 7000`)
      expect(await ask(bed.client)).toBe(`${OWNED} 7000`)
      // The host's own listener on the same port of its own address is not touched.
      expect(await curl(bed.server, 9000)).toBe(`${SERVER} 9000`)
      await bed.stop()
    } finally {
      await bed.close()
    }
  })
})

/** ping, traceroute and mtr: every hop of a path shows, with its own address, and errors from beyond reach the client. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { LabNamespace } from '../../src/testing/lab/index.js'
import { Bed, output, requests, SERVER, TSNAT } from './support.js'

/** Behind two routers: 203.0.113.9, which is the bed's server, and 198.51.100.2. */
const FAR = '192.0.2.2'
const HOPS = [TSNAT, SERVER, '198.51.100.2', FAR]

let bed: Bed
let far: LabNamespace

beforeAll(async () => {
  bed = await Bed.build(['ping', 'traceroute', 'mtr'], { lan: 'inside' })
  const { lab, server: first } = bed
  const second = await lab.namespace('second')
  far = await lab.namespace('far')
  await lab.link(first, { name: 'eth1', address: '198.51.100.1/24' }, second, { name: 'eth0', address: '198.51.100.2/24' })
  await lab.link(second, { name: 'eth1', address: '192.0.2.1/24' }, far, { name: 'eth0', address: `${FAR}/24` })
  await first.route('192.0.2.0/24', '198.51.100.2')
  await second.route('203.0.113.0/24', '198.51.100.1')
  await far.route('default', '192.0.2.1')
  for (const router of [first, second]) {
    router.sysctl('net.ipv4.ip_forward', 1)
    // Linux limits the errors that it sends; the tests want them all.
    router.sysctl('net.ipv4.icmp_ratelimit', 0)
  }
  far.sysctl('net.ipv4.icmp_ratelimit', 0)
  await bed.up()
})
afterAll(async () => {
  await bed.stop()
  await bed.close()
})

describe('ping', () => {
  it.each([TSNAT, SERVER, FAR])('%s answers', async (address) => {
    // 8000 bytes go in fragments, both ways.
    for (const size of [0, 56, 1472, 8000]) {
      const text = await output(bed.client, 'ping', [...requests(3), '-s', String(size), address])
      expect(text).toContain('3 received')
    }
  })

  it('the TTL is one less for each hop, tsnat among them', async () => {
    const ttl = async (address: string): Promise<number> =>
      Number(/ttl=(\d+)/.exec(await output(bed.client, 'ping', ['-c1', '-W2', address]))![1])
    expect([await ttl(TSNAT), await ttl(SERVER), await ttl(FAR)]).toEqual([64, 63, 61])
  })

  it('tells of a network that no router knows, and of a host that does not answer', async () => {
    const unknown = await bed.client.run('ping', ['-c1', '-W3', '203.0.114.1'])
    expect(unknown.stdout).toContain(`From ${SERVER} icmp_seq=1 Destination Net Unreachable`)
    const silent = await bed.client.run('ping', ['-c1', '-W5', '192.0.2.77'])
    expect(silent.stdout).toContain('From 198.51.100.2 icmp_seq=1 Destination Host Unreachable')
  })
})

/** Addresses by hop of what traceroute printed; `*` for probes that got no answer. */
const hopsOf = (text: string): string[][] =>
  text.trimEnd().split('\n').slice(1).map((line) => line.trim().split(/\s+/).slice(1).filter((word) => /^(\*|!\w*|\d+\.\d+\.\d+\.\d+)$/.test(word)))

describe('traceroute', () => {
  it.each([
    ['UDP', []],
    ['UDP to one port', ['-U', '-p', '33434']],
    ['ICMP', ['-I']],
    ['TCP', ['-T', '-p', '7']],
  ])('%s sees every hop, and ends where the destination answers', async (_, how) => {
    const text = await output(bed.client, 'traceroute', ['-n', '-m', '8', '-w', '3', ...how, FAR])
    expect(hopsOf(text)).toEqual(HOPS.map((hop) => [hop]))
  })

  it('goes through with long probes, which are cut into fragments', async () => {
    const text = await output(bed.client, 'traceroute', ['-n', '-m', '8', '-w', '3', '-I', FAR, '4000'])
    expect(hopsOf(text)).toEqual(HOPS.map((hop) => [hop]))
  })
})

describe('mtr', () => {
  it.each([['ICMP', []], ['UDP', ['--udp']], ['TCP', ['--tcp', '--port', '7']]])('%s reports every hop without loss', async (_, how) => {
    const text = await output(bed.client, 'mtr', ['--report', '--no-dns', '--json', '-c', '3', '-i', '0.2', '--gracetime', '1', ...how, FAR])
    const { report } = JSON.parse(text) as { report: { hubs: { host: string; 'Loss%': number }[] } }
    expect(report.hubs.map((hub) => [hub.host, hub['Loss%']])).toEqual(HOPS.map((hop) => [hop, 0]))
  })
})

it('errors about UDP and TCP reach the program that sent', async () => {
  const udp = await bed.client.node(`
    import { createSocket } from 'node:dgram'
    const socket = createSocket('udp4')
    socket.on('error', ({ code }) => { console.log(code); socket.close() })
    socket.connect(9, '${FAR}', () => socket.send('x'))`).finish({ timeout: 5000 })
  expect(udp.stdout).toBe('ECONNREFUSED\n')
  const tcp = await bed.client.node(`
    import { connect } from 'node:net'
    connect(9, '203.0.114.1').on('error', ({ code }) => console.log(code))`).finish({ timeout: 15_000 })
  // A network unreachable is a soft error, which TCP remembers and goes on; Linux gives up at the first SYN.
  expect(tcp.stdout).toBe('ENETUNREACH\n')
})

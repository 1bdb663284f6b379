/** dnsmasq asked by dig: 200 names over UDP and over TCP, many at a time, and an answer too long for one packet. */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { Bed, GATEWAY, output, SERVER } from './support.js'

const names = Array.from({ length: 200 }, (_, index) => `host-${index}.example.test`)
const addressOf = (index: number): string => `198.51.100.${index}`

let bed: Bed

beforeAll(async () => {
  bed = await Bed.build(['dnsmasq', 'dig'])
  const directory = bed.lab.temporaryDirectory()
  const hosts = join(directory, 'hosts')
  writeFileSync(hosts, names.map((name, index) => `${addressOf(index)} ${name}\n`).join(''))
  const long = Array.from({ length: 12 }, (_, index) => `--txt-record=long.example.test,${String(index).padStart(200, '0')}`)
  const server = bed.server.spawn('dnsmasq', [
    '--keep-in-foreground', '--log-facility=-', '--no-resolv', '--no-hosts', '--user=root', `--pid-file=${join(directory, 'pid')}`,
    `--addn-hosts=${hosts}`, '--listen-address', SERVER, '--bind-interfaces', '--edns-packet-max=4096', ...long,
  ])
  await server.waitFor(/read .*hosts - 200/)
  await bed.up()
})
afterAll(async () => {
  await bed.stop()
  await bed.close()
})

const dig = (args: readonly string[], input = ''): Promise<string> =>
  output(bed.client, 'dig', [`@${SERVER}`, '+tries=1', '+time=3', ...args, '-f', '-'], { input })

describe.each([['udp', '+notcp'], ['tcp', '+tcp']])('over %s', (protocol, how) => {
  it('answers 200 names, each at the first attempt', async () => {
    const before = (await bed.flows('-p', protocol, '--dport', '53')).length
    // Ten programs at once, as one asks its names one after the other.
    const parts = Array.from({ length: 10 }, (_, part) => names.slice(part * 20, part * 20 + 20))
    const answers = await Promise.all(parts.map((part) => dig([how, '+short'], part.join('\n'))))
    expect(answers.join('').trimEnd().split('\n')).toEqual(names.map((_, index) => addressOf(index)))
    const flows = await bed.flows('-p', protocol, '--dport', '53')
    // dig takes a new source port for each question, by chance one that was used before.
    expect(flows.length - before).toBeGreaterThan(150)
    for (const { reply, replied } of flows) expect([reply.src, reply.dst, replied]).toEqual([SERVER, GATEWAY, true])
  })
})

it('an answer of several fragments arrives', async () => {
  const answer = await output(bed.client, 'dig', [`@${SERVER}`, '+tries=1', '+notcp', '+bufsize=4096', '+ignore', 'TXT', 'long.example.test'])
  expect(answer).toMatch(/ANSWER: 12/)
  expect(Number(/MSG SIZE {2}rcvd: (\d+)/.exec(answer)![1])).toBeGreaterThan(2400)
  expect((await bed.status()).drops).toEqual({})
})

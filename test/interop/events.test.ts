/** What real traffic leaves in `tsnat conntrack -E`, in the log of bindings and at a syslog collector. */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { FlowEvent } from '../../src/api/types.js'
import type { LabProcess } from '../../src/testing/lab/index.js'
import { startNginx } from './nginx.js'
import { Bed, GATEWAY, output, SERVER } from './support.js'

const CLIENT = '192.168.1.2'

/** Answers UDP on port 53. */
const ECHO = `
  import { createSocket } from 'node:dgram'
  const socket = createSocket('udp4').bind(53, () => console.log('ready'))
  socket.on('message', (bytes, { port, address }) => socket.send(bytes, port, address))`

/** Sends a datagram from a port and waits for its echo. */
const ASK = `
  import { createSocket } from 'node:dgram'
  const socket = createSocket('udp4').bind(Number(process.argv[1]), () => socket.send('question', 53, '${SERVER}'))
  socket.once('message', () => socket.close())`

/** Collects syslog messages, one a line. */
const COLLECT = `
  import { createSocket } from 'node:dgram'
  const socket = createSocket({ type: 'udp4', recvBufferSize: 8 << 20 }).bind(5514, () => console.log('ready'))
  socket.on('message', (bytes) => console.log(bytes.toString()))`

/** Asks from as many ports as it is told to, 100 every 10 ms, again where no answer comes; keeps them open until it is killed. */
const FLOOD = `
  import { createSocket } from 'node:dgram'
  import { setTimeout } from 'node:timers/promises'
  const waiting = new Set()
  for (let left = Number(process.argv[1]); left > 0; left--) {
    const socket = createSocket('udp4').bind(0)
    waiting.add(socket)
    socket.once('message', () => waiting.delete(socket))
  }
  while (waiting.size > 0) {
    let sent = 0
    for (const socket of [...waiting]) {
      socket.send('x', 53, '${SERVER}')
      if (++sent % 100 === 0) await setTimeout(10)
    }
    await setTimeout(500)
  }
  console.log('answered')`

let bed: Bed

beforeEach(async () => {
  bed = await Bed.build(['nginx', 'curl', 'ping', 'prlimit'])
})
afterEach(async () => {
  await bed.close()
})

const serve = async (): Promise<void> => {
  writeFileSync(join(await startNginx(bed.server, bed.lab.temporaryDirectory()), 'file'), 'text')
  await bed.server.node(ECHO).waitFor(/^ready$/m)
}

const talk = async (): Promise<void> => {
  await output(bed.client, 'curl', ['--silent', '--fail', '--max-time', '20', '--local-port', '40001', `http://${SERVER}/file`])
  expect((await bed.client.node(ASK, ['40002']).finish()).code).toBe(0)
  await output(bed.client, 'ping', ['-c', '2', '-i', '0.2', '-W', '5', SERVER])
}

const following = async (...args: string[]): Promise<LabProcess> => {
  const before = (await bed.status()).events.readers
  const running = bed.spawnTsnat('conntrack', '-E', ...args)
  await expect.poll(async () => (await bed.status()).events.readers, { timeout: 20_000 }).toBe(before + 1)
  return running
}

describe('tsnat conntrack -E', () => {
  it('CT-3: prints what becomes of real connections as conntrack does', async () => {
    await serve()
    await bed.up('--profile', 'linux')
    const all = await following()
    const begins = await following('-p', 'tcp', '-e', 'NEW', '--json')
    await talk()
    await bed.tsnat('conntrack', '-D', '-p', 'udp')
    await all.waitFor(/DESTROY.*USERSPACE/)
    for (const running of [all, begins]) running.kill('SIGINT')
    const { code, stdout, stderr } = await all.finish()
    expect({ code, stderr }).toEqual({ code: 0, stderr: expect.stringMatching(/^conntrack v\S+ \(tsnat\): \d+ flow events have been shown\.\n$/) as unknown })
    const tcp = [`src=${CLIENT} dst=${SERVER} sport=40001 dport=80`, `src=${SERVER} dst=${GATEWAY} sport=80 dport=40001`]
    const udp = [`src=${CLIENT} dst=${SERVER} sport=40002 dport=53`, `src=${SERVER} dst=${GATEWAY} sport=53 dport=40002`]
    const lines = stdout.trimEnd().split('\n')
    expect(lines.filter((line) => line.includes(' tcp ')).slice(0, 4)).toEqual([
      `    [NEW] tcp      6 120 SYN_SENT ${tcp[0]} [UNREPLIED] ${tcp[1]}`,
      ` [UPDATE] tcp      6 60 SYN_RECV ${tcp[0]} ${tcp[1]}`,
      ` [UPDATE] tcp      6 432000 ESTABLISHED ${tcp[0]} ${tcp[1]} [ASSURED]`,
      ` [UPDATE] tcp      6 120 FIN_WAIT ${tcp[0]} ${tcp[1]} [ASSURED]`,
    ])
    expect(lines.findLast((line) => line.includes(' tcp '))).toBe(` [UPDATE] tcp      6 120 TIME_WAIT ${tcp[0]} ${tcp[1]} [ASSURED]`)
    expect(lines.filter((line) => line.includes(' udp '))).toEqual([
      `    [NEW] udp      17 30 ${udp[0]} [UNREPLIED] ${udp[1]}`,
      expect.stringMatching(`^ \\[UPDATE\\] udp      17 \\d+ ${udp[0]} ${udp[1]}( \\[ASSURED\\])?$`),
      expect.stringMatching(`^\\[DESTROY\\] udp      17 \\d+ ${udp[0]} packets=1 bytes=36 ${udp[1]} packets=1 bytes=36( \\[ASSURED\\])? \\[USERSPACE\\] portid=\\d+$`),
    ])
    expect(lines.filter((line) => line.includes(' icmp ')).map((line) => line.replace(/ src.*/, ''))).toEqual(['    [NEW] icmp     1 30', ' [UPDATE] icmp     1 30'])

    const events = (await begins.finish()).stdout.trimEnd().split('\n').map((line) => JSON.parse(line) as FlowEvent)
    expect(events).toMatchObject([{ type: 'new', time: expect.any(Number) as number, flow: { protocol: 'tcp', state: 'SYN_SENT', original: { sport: 40001 } } }])
    expect(Math.abs((events[0]!.type === 'lost' ? 0 : events[0]!.time) - Date.now())).toBeLessThan(60_000)
    expect((await bed.status()).events).toEqual({ readers: 0, lost: 0 })
    await bed.stop()
  })

  it('ends when the gateway does', async () => {
    await bed.up()
    const running = await following('-e', 'DESTROY')
    await bed.stop()
    expect(await running.finish({ timeout: 10_000 })).toMatchObject({ code: 0, stdout: '' })
  })
})

describe('the log of bindings', () => {
  it('CGN-16: tells a syslog collector of each mapping, once when it begins and once when it ends', async () => {
    await serve()
    const collector = bed.server.node(COLLECT)
    await collector.waitFor(/^ready$/m)
    await bed.up('--log-bindings', 'mappings', '--log-syslog', `udp:${SERVER}:5514`)
    await talk()
    await bed.tsnat('conntrack', '-D')
    await bed.stop()
    await expect.poll(() => collector.stdout.match(/event=reset/g)?.length).toBe(2)
    const messages = collector.stdout.trimEnd().split('\n').slice(1)
    for (const message of messages) expect(message).toMatch(/^<134>1 \d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z \S+ tsnat \d+ (mapping|all) - event=/)
    const bindings = messages.map((message) => message.replace(/^.* - /, '').replace(/ instance=default at=\S+$/, ''))
    expect([bindings[0], bindings.at(-1)]).toEqual(['event=reset kind=all', 'event=reset kind=all'])
    const inside = [['tcp', 40001], ['udp', 40002], ['icmp', '\\d+']] as const
    const told = (event: string): string[] =>
      bindings.filter((binding) => binding.startsWith(`event=${event} `)).map((binding) => binding.slice(`event=${event} `.length))
    expect(told('create')).toEqual(inside.map(([protocol, port]) =>
      expect.stringMatching(`^kind=mapping protocol=${protocol} insideAddress=${CLIENT} insidePort=${port} outsideAddress=${GATEWAY} outsidePort=\\d+$`) as unknown))
    expect(told('delete').sort()).toEqual(told('create').sort())
    // Nobody is told whom the client spoke to.
    expect(messages.join('\n')).not.toContain(SERVER)
  })

  it('CGN-16: writes JSON lines to the log, with destinations where they are asked for', async () => {
    await serve()
    await bed.up('--log-bindings', 'flows', '--log-destinations')
    await talk()
    await bed.stop(/^(\{.*"msg":"binding"\}\n)+$/)
  })

  it('loses no line when 10 000 mappings begin within a second', async () => {
    const collector = bed.server.node(COLLECT)
    await collector.waitFor(/^ready$/m)
    await bed.server.node(ECHO).waitFor(/^ready$/m)
    await bed.up('--log-bindings', 'mappings', '--log-syslog', `udp:${SERVER}:5514`)
    const flood = bed.client.spawn('prlimit', ['--nofile=12000', process.execPath, '--input-type=module', '--eval', FLOOD, '--', '10000'])
    await flood.waitFor(/^answered$/m, 60_000)
    await expect.poll(async () => (await bed.status()).flows.opened, { timeout: 30_000 }).toBe(10_000)
    await expect.poll(async () => (await bed.status()).bindings, { timeout: 30_000 }).toEqual({ logged: 10_001, lost: 0 })
    await expect.poll(() => collector.stdout.match(/event=create/g)?.length, { timeout: 30_000 }).toBe(10_000)
    expect((await bed.status()).events).toEqual({ readers: 0, lost: 0 })
    flood.kill()
    await bed.stop()
  })
})

import { spawn } from 'node:child_process'
import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { formatLocal, formatRfc5424, Syslog, type SyslogMessage } from '../../src/control/syslog.js'
import { parseSyslogTarget, type SyslogTarget } from '../../src/syslog-target.js'

const MESSAGE: SyslogMessage = { time: Date.UTC(2026, 10, 5, 9, 30, 9, 16), id: 'mapping', text: 'event=create insidePort=5000' }

describe('a syslog message', () => {
  it('has the form of RFC 5424: facility local0, severity informational', () => {
    expect(formatRfc5424(MESSAGE, 'gw', 42)).toBe('<134>1 2026-11-05T09:30:09.016Z gw tsnat 42 mapping - event=create insidePort=5000')
    expect(formatRfc5424(MESSAGE, 'a b\n', 42)).toContain(' ab tsnat ')
    expect(formatRfc5424(MESSAGE, '', 42)).toContain('Z - tsnat ')
  })

  it('has the form of syslog(3) for the daemon of this host', () => {
    const local = new Date(2026, 10, 5, 9, 30, 9).getTime()
    expect(formatLocal({ ...MESSAGE, time: local }, 42)).toBe('<134>Nov  5 09:30:09 tsnat[42]: event=create insidePort=5000')
  })
})

describe('a target', () => {
  it.each<[string, SyslogTarget | null]>([
    ['unix:/dev/log', { kind: 'unix', path: '/dev/log' }],
    ['udp:192.0.2.1:514', { kind: 'udp', host: '192.0.2.1', port: 514, isIpv6: false }],
    ['udp:logs.example.net:1514', { kind: 'udp', host: 'logs.example.net', port: 1514, isIpv6: false }],
    ['udp:[2001:db8::1]:514', { kind: 'udp', host: '2001:db8::1', port: 514, isIpv6: true }],
    ['unix:log', null], [`unix:/${'x'.repeat(107)}`, null], ['udp:192.0.2.1', null], ['udp:192.0.2.1:0', null], ['udp:192.0.2.1:65536', null],
    ['udp::514', null], ['tcp:192.0.2.1:514', null], ['', null],
  ])('%s', (text, target) => expect(parseSyslogTarget(text)).toEqual(target))
})

describe('syslog by UDP', () => {
  it('sends each message in a datagram of its own', async () => {
    const receiver = createSocket('udp4').bind(0, '127.0.0.1')
    await once(receiver, 'listening')
    const received: string[] = []
    receiver.on('message', (bytes) => received.push(bytes.toString()))
    const troubles: unknown[] = []
    const syslog = new Syslog({ kind: 'udp', host: '127.0.0.1', port: (receiver.address() as AddressInfo).port, isIpv6: false }, (error) => troubles.push(error))
    for (let port = 1; port <= 100; port++) syslog.send({ ...MESSAGE, text: `insidePort=${port}` })
    await syslog.close()
    await expect.poll(() => received.length).toBe(100)
    expect(received[99]).toMatch(/^<134>1 2026-11-05T09:30:09\.016Z \S+ tsnat \d+ mapping - insidePort=100$/)
    expect([troubles, syslog.lost]).toEqual([[], 0])
    receiver.close()
  })

  it('tells that a name leads nowhere, and counts what is lost', async () => {
    const troubles: (Error | null)[] = []
    const syslog = new Syslog({ kind: 'udp', host: 'nowhere.invalid', port: 514, isIpv6: false }, (error) => troubles.push(error))
    await expect.poll(() => troubles.length, { timeout: 20_000 }).toBe(1)
    syslog.send(MESSAGE)
    await syslog.close()
    syslog.send(MESSAGE)
    expect(troubles).toHaveLength(1)
    expect(syslog.lost).toBe(2)
  })
})

describe('syslog by a Unix socket', () => {
  it('waits for a daemon that is busy, and loses nothing', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'tsnat-syslog-'))
    const path = join(folder, 'log')
    const receiver = spawn('socat', ['-u', `UNIX-RECV:${path}`, 'STDOUT'], { stdio: ['ignore', 'pipe', 'inherit'] })
    let text = ''
    receiver.stdout.setEncoding('utf8').on('data', (chunk: string) => (text += chunk))
    await expect.poll(() => existsSync(path)).toBe(true)
    const troubles: unknown[] = []
    const syslog = new Syslog({ kind: 'unix', path }, (error) => troubles.push(error))
    for (let port = 1; port <= 2000; port++) syslog.send({ ...MESSAGE, text: `insidePort=${port};` })
    syslog.flush()
    await expect.poll(() => text.match(/;/g)?.length, { timeout: 20_000 }).toBe(2000)
    expect(text.indexOf('insidePort=1;')).toBeLessThan(text.indexOf('insidePort=2000;'))
    await syslog.close()
    expect([troubles, syslog.lost]).toEqual([[], 0])
    receiver.kill()
    rmSync(folder, { recursive: true })
  })

  it('tells once that nobody listens, and again when somebody does', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'tsnat-syslog-'))
    const path = join(folder, 'log')
    const troubles: (Error | null)[] = []
    const syslog = new Syslog({ kind: 'unix', path }, (error) => troubles.push(error))
    syslog.send(MESSAGE)
    syslog.flush()
    syslog.send(MESSAGE)
    syslog.flush()
    expect(troubles).toMatchObject([{ code: 'ENOENT' }])
    expect(syslog.lost).toBe(2)
    const receiver = spawn('socat', ['-u', `UNIX-RECV:${path}`, 'STDOUT'], { stdio: ['ignore', 'ignore', 'inherit'] })
    await expect.poll(() => existsSync(path)).toBe(true)
    syslog.send(MESSAGE)
    syslog.flush()
    expect(troubles[1]).toBeNull()
    await syslog.close()
    receiver.kill()
    rmSync(folder, { recursive: true })
  })
})

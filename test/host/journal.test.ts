import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, it } from 'vitest'
import { TsnatError } from '../../src/errors.js'
import { Journal, recover, referenceTo, runningInstances } from '../../src/host/journal.js'
import type { Claims, Step } from '../../src/host/journal.js'
import { ownNamespace } from '../../src/host/namespace.js'
import { NetlinkError } from '../../src/host/netlink-error.js'
import { processStart } from '../../src/host/process-start.js'

const folder = mkdtempSync(join(tmpdir(), 'tsnat-journal-'))
process.env['TSNAT_RUN_DIR'] = folder
afterAll(() => rmSync(folder, { recursive: true }))

const claims: Claims = { wans: [{ namespace: '4:1', interface: 'eth0', ports: null, addresses: ['198.51.100.7'] }], lan: { namespace: '4:1', interface: 'tun0' } }
const file = (name: string): string => join(folder, name, 'journal.json')
const read = (name: string): { steps: unknown[]; pid: number } => JSON.parse(readFileSync(file(name), 'utf8')) as { steps: unknown[]; pid: number }
/** A step whose undoing finds nothing to do: the value is not what it says it was set to. */
const step = (after = 'never'): Step => ({ kind: 'sysctl', namespace: referenceTo(ownNamespace()), key: 'net/ipv4/ip_default_ttl', before: '64', after })

describe('Journal', () => {
  it('is written before the change is made, and lists the instance', async () => {
    const { journal, recovered } = await Journal.open('one', claims)
    expect(recovered).toBeNull()
    expect(runningInstances()).toEqual([{ name: 'one', pid: process.pid, claims }])
    let listed = 0
    await journal.apply(step(), () => { listed = read('one').steps.length })
    expect(listed).toBe(1)
    await journal.undo()
    expect(existsSync(join(folder, 'one'))).toBe(false)
    expect(runningInstances()).toEqual([])
  })

  it('forgets what the kernel refused, and keeps what is uncertain', async () => {
    const { journal } = await Journal.open('two', claims)
    const refuse = (error: Error) => journal.apply(step(), () => { throw error })
    await expect(refuse(new NetlinkError('x', 'EEXIST'))).rejects.toThrow('EEXIST')
    await expect(refuse(new TsnatError('x', { code: 'SYSCTL' }))).rejects.toThrow('x')
    expect(journal.steps).toEqual([])
    await expect(refuse(new NetlinkError('x', 'ETIMEDOUT'))).rejects.toThrow('ETIMEDOUT')
    await expect(refuse(new Error('bug'))).rejects.toThrow('bug')
    expect(journal.steps).toHaveLength(2)
    await journal.revert(journal.steps[0]!)
    expect(journal.steps).toHaveLength(1)
    await journal.undo()
  })

  it('keeps the folder of an instance that has more in it', async () => {
    const { journal } = await Journal.open('three', claims)
    writeFileSync(join(folder, 'three', 'log'), '')
    await journal.undo()
    expect(existsSync(file('three'))).toBe(false)
    expect(existsSync(join(folder, 'three', 'log'))).toBe(true)
  })

  it('is undone by its own process on the way out', async () => {
    const { journal } = await Journal.open('four', claims)
    await journal.apply(step(), () => {})
    expect(await recover('four')).toEqual({ name: 'four', undone: [], failed: [] })
    expect(existsSync(file('four'))).toBe(false)
  })

  it('takes a process that started later for another one', async () => {
    await Journal.open('six', claims)
    const reused = { ...read('six'), pid: 1 }
    writeFileSync(file('six'), JSON.stringify(reused))
    expect(runningInstances()).toEqual([])
    expect(await recover('six')).toMatchObject({ undone: [] })
    expect(processStart(process.pid)).toMatch(/^\d+$/)
    expect(processStart(2 ** 22 + 1)).toBeNull()
  })

  it('names a file that it cannot read', async () => {
    mkdirSync(join(folder, 'seven'))
    writeFileSync(file('seven'), '{"version":1')
    await expect(recover('seven')).rejects.toMatchObject({ code: 'BAD_JOURNAL', exitCode: 78 })
    expect(runningInstances()).toEqual([])
    rmSync(join(folder, 'seven'), { recursive: true })
    writeFileSync(join(folder, 'eight'), '')
    await expect(Journal.open('eight', claims)).rejects.toMatchObject({ code: 'JOURNAL_PERMISSION', exitCode: 77 })
  })
})

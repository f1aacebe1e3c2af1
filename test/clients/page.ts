import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { BEHAVIOURS, type Behaviour, CLIENTS, type Client, cellOf } from './behaviours.ts'

const ROOT = join(import.meta.dirname, '../..')
const BEGIN = '<!-- matrix:begin -->'
const END = '<!-- matrix:end -->'

/** Path of the page about the clients. */
export const PAGE = join(ROOT, 'docs/clients.md')

/** Every cell that the page has, with the title of the test that proves it. */
export function claims(): { client: Client; behaviour: Behaviour; test: string }[] {
  const behaviours = Object.keys(BEHAVIOURS) as Behaviour[]
  return behaviours.flatMap((behaviour) =>
    CLIENTS.flatMap((client) => {
      const cell = cellOf(client, behaviour)
      return cell ? [{ client, behaviour, test: cell.test }] : []
    })
  )
}

/** The page with the table as the tests have it, under the versions of the clients that are installed. */
export function renderPage(page: string): string {
  const begin = page.indexOf(BEGIN)
  const end = page.indexOf(END)
  if (begin < 0 || end < begin) throw new Error(`${PAGE} has no place for the table`)
  return `${page.slice(0, begin)}${BEGIN}\n${table()}\n${page.slice(end)}`
}

function table(): string {
  const head = CLIENTS.map((client) => `${client} ${versionOf(client)}`)
  const behaviours = Object.keys(BEHAVIOURS) as Behaviour[]
  const rows = behaviours.map((behaviour) => [
    BEHAVIOURS[behaviour].does,
    ...CLIENTS.map((client) => cellOf(client, behaviour)?.says ?? '')
  ])
  return [['', ...head], ['', ...head].map(() => '---'), ...rows].map((cells) => `| ${cells.join(' | ')} |`).join('\n')
}

function versionOf(client: Client): string {
  const { version } = JSON.parse(readFileSync(join(ROOT, 'node_modules', client, 'package.json'), 'utf8'))
  return String(version)
}

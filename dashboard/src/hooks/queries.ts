// The server's data, cached under one name each. Never copied into a store.
import {
  infiniteQueryOptions,
  keepPreviousData,
  QueryClient,
  queryOptions,
} from '@tanstack/react-query'
import { bridge } from '@/api/bridge'
import type { TreeNode, TreePage } from '@/api/bridge-types'
import { fallbacksOf, fallbacksOfAll } from '@/api/fallbacks'
import { ApiError } from '@/api/http'
import { apiKeys } from '@/api/keys'
import { machineOf } from '@/api/machine'
import { mcpOf } from '@/api/mcp'
import { receiptsOf } from '@/api/receipts'
import { comparisonsOf, isUndecided } from '@/api/runs/comparisons'
import { runsOf } from '@/api/runs/routes'
import { isOver, type Run } from '@/api/runs/types'
import { secretsOf } from '@/api/secrets'
import { server } from '@/api/server'
import type { Machine } from '@/api/types'
import { budgetOf, modelLimitsOf, usageOf, type UsageBy } from '@/api/usage'

/** A person who looks at a list of projects sees a change of state within this time. */
const PROJECTS_EVERY_MS = 10_000
/** A server that was away is asked this often, so that its return is seen soon. */
const AGAIN_EVERY_MS = 2000
/** Freezing and going cold are no events of the bridge, so the machine's state is asked for. */
const MACHINE_EVERY_MS = 5000

/** The machine tells of a run's steps; that it waits its turn, is tried again or was written down, only the
 * server knows. */
const RUNS_EVERY_MS = 3000
/** Runs that are read at once. */
const RUNS_PAGE = 30

/** An edit in a terminal makes a receipt stale within this time. */
const RECEIPTS_EVERY_MS = 15_000

export const queryClient = new QueryClient({
  defaultOptions: {
    queries: {
      staleTime: 2000,
      retry: (failures, error) => error instanceof ApiError && error.status >= 500 && failures < 2,
      retryDelay: (failures) => 200 * 2 ** failures,
      networkMode: 'always',
    },
    mutations: { networkMode: 'always' },
  },
})

/** What only a running machine can answer is not asked again just because a person came back to the
 * tab: that would wake one that rests. */
const whileRunning = (id: string) => {
  const running = () => queryClient.getQueryData<Machine>(['machine', id])?.state === 'running'
  return { refetchOnWindowFocus: running, refetchOnReconnect: running }
}

async function wholeTree(id: string, session: string): Promise<{ entries: TreeNode[] }> {
  const entries: TreeNode[] = []
  let after: string | null = null
  do {
    // A page says where the next one begins.
    // oxlint-disable-next-line no-await-in-loop
    const page: TreePage = await bridge(id).tree(session, after)
    entries.push(...page.entries)
    after = page.next
  } while (after !== null)
  return { entries }
}

export const queries = {
  me: queryOptions({ queryKey: ['me'], queryFn: server.me, staleTime: 60_000 }),
  projects: queryOptions({
    queryKey: ['projects'],
    queryFn: server.projects,
    refetchInterval: (query) =>
      query.state.status === 'error' ? AGAIN_EVERY_MS : PROJECTS_EVERY_MS,
  }),
  project: (id: string) =>
    queryOptions({ queryKey: ['project', id], queryFn: () => server.project(id) }),
  machine: (id: string) =>
    queryOptions({
      queryKey: ['machine', id],
      queryFn: () => server.machine(id),
      refetchInterval: MACHINE_EVERY_MS,
    }),
  settings: queryOptions({ queryKey: ['settings'], queryFn: server.settings }),
  providers: queryOptions({ queryKey: ['providers'], queryFn: server.providers }),
  keysFile: queryOptions({ queryKey: ['keysFile'], queryFn: server.keysFile }),
  modelsFile: queryOptions({ queryKey: ['modelsFile'], queryFn: server.modelsFile }),
  fallbacks: queryOptions({ queryKey: ['fallbacks'], queryFn: fallbacksOfAll }),
  keys: queryOptions({ queryKey: ['keys'], queryFn: apiKeys.list }),
  models: queryOptions({ queryKey: ['models'], queryFn: server.models, staleTime: 30_000 }),
  doctor: queryOptions({ queryKey: ['doctor'], queryFn: server.doctor, staleTime: 60_000 }),

  state: (id: string) =>
    queryOptions({ queryKey: ['state', id], queryFn: () => bridge(id).state() }),
  inspect: (id: string) =>
    queryOptions({ queryKey: ['inspect', id], queryFn: () => bridge(id).inspect() }),
  sessions: (id: string) =>
    queryOptions({ queryKey: ['sessions', id], queryFn: () => bridge(id).sessions() }),
  /** All entries of a conversation, page by page. */
  tree: (id: string, session: string) =>
    queryOptions({ queryKey: ['tree', id, session], queryFn: () => wholeTree(id, session) }),
  /** Conversations of tasks too. */
  tasks: (id: string) =>
    queryOptions({ queryKey: ['sessions', id, 'tasks'], queryFn: () => bridge(id).tasks() }),
  terminals: (id: string) =>
    queryOptions({
      queryKey: ['terminals', id],
      queryFn: () => bridge(id).terminals(),
      ...whileRunning(id),
    }),
  processes: (id: string) =>
    queryOptions({
      queryKey: ['processes', id],
      queryFn: () => bridge(id).processes(),
      ...whileRunning(id),
    }),
  services: (id: string) =>
    queryOptions({
      queryKey: ['services', id],
      queryFn: () => bridge(id).services(),
      ...whileRunning(id),
    }),
  /** Of a conversation. A program that changes files tells nobody: what is fresh is looked at again. */
  receipts: (id: string, session: string) =>
    queryOptions({
      queryKey: ['receipts', id, session],
      queryFn: () => receiptsOf(id, session),
      refetchInterval: ({ state: { data } }) => {
        if (data?.some(({ stamp }) => stamp === 'pending')) return AGAIN_EVERY_MS
        return data?.some(({ stale }) => stale === false) ? RECEIPTS_EVERY_MS : false
      },
    }),
  /** Page by page, latest first. */
  runs: (id: string) =>
    infiniteQueryOptions({
      queryKey: ['runs', id],
      queryFn: ({ pageParam }) => runsOf(id).list(RUNS_PAGE, pageParam),
      initialPageParam: 0,
      getNextPageParam: (last, pages) =>
        last.length < RUNS_PAGE ? null : pages.length * RUNS_PAGE,
      refetchInterval: ({ state: { data } }) =>
        data?.pages.some((page) => page.some((run) => !isOver(run))) ? RUNS_EVERY_MS : false,
    }),
  run: (id: string, run: string) =>
    queryOptions({
      queryKey: ['runs', id, run],
      queryFn: () => runsOf(id).run(run),
      refetchInterval: ({ state: { data } }) => (data && isOver(data) ? false : RUNS_EVERY_MS),
    }),
  /** The one that came after a run: their numbers have no gaps, and the latest is listed first. */
  runBehind: (id: string, { runIndex }: Run, latest: number) =>
    queryOptions({
      queryKey: ['runs', id, 'behind', runIndex],
      queryFn: async () => {
        const found = await runsOf(id).list(1, Math.max(0, latest - runIndex - 1))
        return found.find((run) => run.runIndex === runIndex + 1) ?? null
      },
    }),
  comparisons: (id: string) =>
    queryOptions({
      queryKey: ['comparisons', id],
      queryFn: () => comparisonsOf(id).list(),
      refetchInterval: ({ state: { data } }) =>
        data?.some((one) => isUndecided(one)) ? RUNS_EVERY_MS : false,
    }),
  comparison: (id: string, comparison: string) =>
    queryOptions({
      queryKey: ['comparisons', id, comparison],
      queryFn: () => comparisonsOf(id).comparison(comparison),
      refetchInterval: ({ state: { data } }) =>
        data && !isUndecided(data) ? false : RUNS_EVERY_MS,
    }),
  /** Of a candidate, beside what all began from. */
  candidateDiff: (id: string, comparison: string, run: string) =>
    queryOptions({
      queryKey: ['comparisons', id, comparison, run],
      queryFn: () => comparisonsOf(id).diff(comparison, run),
    }),
  candidateFile: (id: string, comparison: string, run: string, path: string) =>
    queryOptions({
      queryKey: ['comparisons', id, comparison, run, path],
      queryFn: () => comparisonsOf(id).fileDiff(comparison, run, path),
    }),
  skills: (id: string) =>
    queryOptions({
      queryKey: ['skills', id],
      queryFn: () => bridge(id).skills(),
      ...whileRunning(id),
    }),
  extensions: (id: string) =>
    queryOptions({
      queryKey: ['extensions', id],
      queryFn: () => bridge(id).extensions(),
      ...whileRunning(id),
    }),
  mcp: (id: string) =>
    queryOptions({
      queryKey: ['mcp', id],
      queryFn: () => mcpOf(id).servers(),
      ...whileRunning(id),
    }),
  mcpConnections: (id: string) =>
    queryOptions({ queryKey: ['mcpConnections', id], queryFn: () => mcpOf(id).connections() }),
  files: (id: string, path: string | null) =>
    queryOptions({
      queryKey: ['files', id, path],
      queryFn: () => bridge(id).files(path),
    }),
  content: (id: string, path: string) =>
    queryOptions({
      queryKey: ['content', id, path],
      queryFn: () => bridge(id).content(path),
    }),

  checkpoints: (id: string) =>
    queryOptions({ queryKey: ['checkpoints', id], queryFn: () => machineOf(id).checkpoints() }),
  /** Against now, which moves on, or another checkpoint: read anew whenever it is looked at. */
  diff: (id: string, checkpoint: string, to = 'now') =>
    queryOptions({
      queryKey: ['diff', id, checkpoint, to],
      queryFn: () => machineOf(id).diff(checkpoint, to),
      staleTime: 0,
    }),
  fileDiff: (id: string, checkpoint: string, path: string, to = 'now') =>
    queryOptions({
      queryKey: ['diff', id, checkpoint, to, path],
      queryFn: () => machineOf(id).fileDiff(checkpoint, path, to),
    }),
  egress: (id: string) =>
    queryOptions({ queryKey: ['egress', id], queryFn: () => machineOf(id).egress() }),
  disk: (id: string) =>
    queryOptions({
      queryKey: ['disk', id],
      queryFn: () => machineOf(id).disk(),
      staleTime: 30_000,
    }),
  secrets: (id: string) =>
    queryOptions({ queryKey: ['secrets', id], queryFn: () => secretsOf(id).list() }),
  schedules: (id: string) =>
    queryOptions({ queryKey: ['schedules', id], queryFn: () => machineOf(id).schedules() }),
  firings: (id: string, schedule: string) =>
    queryOptions({
      queryKey: ['firings', id, schedule],
      queryFn: () => machineOf(id).firings(schedule),
    }),
  /** Of a project, or of all with null. */
  usage: (id: string | null, by: UsageBy, from: string) =>
    queryOptions({
      queryKey: ['usage', id, by, from],
      queryFn: () => usageOf(id, by, from),
      // Another way to add up keeps what is shown until it has come.
      placeholderData: keepPreviousData,
    }),
  /** Of a project, or of all together with null. */
  budget: (id: string | null) =>
    queryOptions({ queryKey: ['budget', id], queryFn: () => budgetOf(id) }),
  fallbacksOf: (id: string) =>
    queryOptions({ queryKey: ['fallbacks', id], queryFn: () => fallbacksOf(id) }),
  modelLimits: (id: string) =>
    queryOptions({ queryKey: ['modelLimits', id], queryFn: () => modelLimitsOf(id) }),
  images: queryOptions({
    queryKey: ['images'],
    queryFn: server.images,
    staleTime: 60_000,
  }),
}

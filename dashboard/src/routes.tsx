// Which page is where. The workspace and the settings come as chunks of their own.
import {
  createRootRoute,
  createRoute,
  createRouter,
  lazyRouteComponent,
} from '@tanstack/react-router'
import { Home } from './pages/home/home'
import { NotFound, PageFailed } from './pages/shell/page-states'
import { Shell } from './pages/shell/shell'

const root = createRootRoute({ component: Shell, notFoundComponent: NotFound })

const home = createRoute({
  getParentRoute: () => root,
  path: '/',
  validateSearch: (search: Record<string, unknown>): { signIn?: 'expired' } =>
    search.signIn === 'expired' ? { signIn: 'expired' } : {},
  component: Home,
})

const project = createRoute({
  getParentRoute: () => root,
  path: '/projects/$id',
  component: lazyRouteComponent(() => import('./pages/workspace/workspace'), 'Workspace'),
})

const settings = createRoute({
  getParentRoute: () => root,
  path: '/settings',
  component: lazyRouteComponent(() => import('./pages/settings/settings'), 'SettingsPage'),
})

export const router = createRouter({
  routeTree: root.addChildren([home, project, settings]),
  defaultPreload: 'intent',
  defaultErrorComponent: PageFailed,
  scrollRestoration: false,
})

declare module '@tanstack/react-router' {
  interface Register {
    router: typeof router
  }
}

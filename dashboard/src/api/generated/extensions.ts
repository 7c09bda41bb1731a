// Extensions: what the server takes and gives.
/* oxlint-disable */
// Made by `make api` of the server's own types: never edited by hand.

/** What each operation takes, and the data of its answer. */
export interface Operations {
  /** `GET /v1/projects/{id}/toft/skills` */
  getProjectsIdToftSkills: {
    data: Record<string, unknown>
  }
  /** `GET /v1/projects/{id}/toft/extensions` */
  getProjectsIdToftExtensions: {
    data: Record<string, unknown>
  }
  /** `GET /v1/projects/{id}/toft/mcp` */
  getProjectsIdToftMcp: {
    data: Record<string, unknown>
  }
  /** `POST /v1/projects/{id}/toft/mcp/{mcp}/restart` */
  postProjectsIdToftMcpMcpRestart: {
    data: Record<string, unknown>
  }
}

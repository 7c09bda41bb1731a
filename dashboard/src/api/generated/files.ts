// Files: what the server takes and gives.
/* oxlint-disable */
// Made by `make api` of the server's own types: never edited by hand.

/** What each operation takes, and the data of its answer. */
export interface Operations {
  /** `GET /v1/projects/{id}/toft/files` */
  getProjectsIdToftFiles: {
    data: Record<string, unknown>
  }
  /** `DELETE /v1/projects/{id}/toft/files` */
  deleteProjectsIdToftFiles: {
    data: Record<string, unknown>
  }
  /** `PUT /v1/projects/{id}/toft/files/content` */
  putProjectsIdToftFilesContent: {
    data: Record<string, unknown>
  }
  /** `POST /v1/projects/{id}/toft/files/mkdir` */
  postProjectsIdToftFilesMkdir: {
    body: {
      path: string
    }
    data: Record<string, unknown>
  }
  /** `POST /v1/projects/{id}/toft/files/move` */
  postProjectsIdToftFilesMove: {
    body: {
      from: string
      to: string
    }
    data: Record<string, unknown>
  }
}

// What an operator orders about who gets work: cordon a worker or a binding, pause a project, drain a whole binding.
import { bindingParams, bindingView, drainBody, projectView, workerParams } from './admin.ts'
import { workerView } from './consumer.ts'
import { name } from './field.ts'
import { defineRoutes } from './shape.ts'
import { stopBody } from './stop.ts'

const projectParams = { name }

export const orderRoutes = defineRoutes({
  cordonWorker: {
    method: 'PUT',
    path: '/v1/admin/workers/{id}/cordon',
    caller: 'admin',
    says: 'Give a worker nothing new; what it runs goes on, and it stays. A repeat replaces note and expiry.',
    params: workerParams,
    body: stopBody,
    reply: workerView,
  },
  uncordonWorker: {
    method: 'DELETE',
    path: '/v1/admin/workers/{id}/cordon',
    caller: 'admin',
    says: "Take a worker's own cordon back; one of its binding stays.",
    params: workerParams,
    reply: workerView,
  },
  cordonBinding: {
    method: 'PUT',
    path: '/v1/admin/bindings/{id}/cordon',
    caller: 'admin',
    says: 'Give the workers of a binding nothing new, those that join it later neither. A repeat replaces note and expiry.',
    params: bindingParams,
    body: stopBody,
    reply: bindingView,
  },
  uncordonBinding: {
    method: 'DELETE',
    path: '/v1/admin/bindings/{id}/cordon',
    caller: 'admin',
    says: 'Take the cordon of a binding back; those of its workers stay.',
    params: bindingParams,
    reply: bindingView,
  },
  drainBinding: {
    method: 'POST',
    path: '/v1/admin/bindings/{id}/drain',
    caller: 'admin',
    says: 'Drain every worker of a binding at once, as each by itself.',
    params: bindingParams,
    body: drainBody,
    reply: bindingView,
  },
  pauseProject: {
    method: 'PUT',
    path: '/v1/admin/projects/{name}/pause',
    caller: 'admin',
    says: 'Hand out no job of a project; jobs are still taken in, and what runs goes on. A repeat replaces note and expiry.',
    params: projectParams,
    body: stopBody,
    reply: projectView,
  },
  resumeProject: {
    method: 'DELETE',
    path: '/v1/admin/projects/{name}/pause',
    caller: 'admin',
    says: 'Hand out the jobs of a project again.',
    params: projectParams,
    reply: projectView,
  },
})

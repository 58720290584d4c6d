// The custom resources that Terse's manifests use, by what their controllers
// document; TypeScript refuses any field that does not stand here.
import type { IIoK8sApiBatchV1JobSpec } from "kubernetes-models/batch/v1/JobSpec";
import type { IIoK8sApiCoreV1PodTemplateSpec } from "kubernetes-models/v1/PodTemplateSpec";

interface Metadata {
  name: string;
  namespace?: string;
  labels?: Record<string, string>;
  annotations?: Record<string, string>;
}
interface Network {
  enableDNSHostnames?: boolean;
  subdomain?: string;
  publishNotReadyAddresses?: boolean;
}
type FailureAction = "FailJobSet" | "RestartJobSet" | "RestartJobSetAndIgnoreMaxRestarts" | "RestartJob";
interface JobSetSpec {
  suspend?: boolean;
  ttlSecondsAfterFinished?: number;
  managedBy?: string;
  network?: Network;
  successPolicy?: { operator: "All" | "Any"; targetReplicatedJobs?: string[] };
  failurePolicy?: {
    maxRestarts?: number;
    restartStrategy?: "Recreate" | "BlockingRecreate";
    rules?: {
      name: string;
      action: FailureAction;
      onJobFailureReasons?: ("PodFailurePolicy" | "BackoffLimitExceeded" |
        "DeadlineExceeded" | "MaxFailedIndexesExceeded" | "FailedIndexes")[];
      targetReplicatedJobs?: string[];
    }[];
  };
  coordinator?: { replicatedJob: string; jobIndex?: number; podIndex?: number };
  startupPolicy?: { startupPolicyOrder: "AnyOrder" | "InOrder" };
  replicatedJobs: {
    name: string;
    groupName?: string;
    replicas?: number;
    dependsOn?: [{ name: string; status: "Ready" | "Complete" }];
    template: { metadata?: Partial<Metadata>; spec: IIoK8sApiBatchV1JobSpec };
  }[];
}
export interface JobSet {
  apiVersion: "jobset.x-k8s.io/v1alpha2";
  kind: "JobSet";
  metadata: Metadata;
  spec: JobSetSpec;
}
export interface ClusterTrainingRuntime {
  apiVersion: "trainer.kubeflow.org/v1alpha1";
  kind: "ClusterTrainingRuntime";
  metadata: Metadata;
  spec: {
    mlPolicy?: { numNodes?: number; torch?: object; mpi?: object };
    podGroupPolicy?: { coscheduling?: object; volcano?: object };
    template: { metadata?: Partial<Metadata>; spec: JobSetSpec };
  };
}
export interface TrainJob {
  apiVersion: "trainer.kubeflow.org/v1alpha1";
  kind: "TrainJob";
  metadata: Metadata;
  spec: {
    runtimeRef: { apiGroup?: string; kind?: string; name: string };
    trainer?: { image?: string; command?: string[]; args?: string[];
      env?: { name: string; value?: string; valueFrom?: object }[];
      numNodes?: number; numProcPerNode?: number | string; resourcesPerNode?: object };
    labels?: Record<string, string>;
    annotations?: Record<string, string>;
    suspend?: boolean;
    managedBy?: string;
  };
}
interface Replica {
  replicas?: number;
  restartPolicy?: "Never" | "OnFailure";
  template: IIoK8sApiCoreV1PodTemplateSpec;
}
export interface MPIJob {
  apiVersion: "kubeflow.org/v2beta1";
  kind: "MPIJob";
  metadata: Metadata;
  spec: {
    slotsPerWorker?: number;
    sshAuthMountPath?: string;
    launcherCreationPolicy?: "AtStartup" | "WaitForWorkersReady";
    mpiImplementation?: "OpenMPI" | "Intel" | "MPICH";
    runPolicy?: { cleanPodPolicy?: "None" | "Running" | "All";
      ttlSecondsAfterFinished?: number; activeDeadlineSeconds?: number;
      backoffLimit?: number; suspend?: boolean; managedBy?: string;
      schedulingPolicy?: { minAvailable?: number; queue?: string;
        priorityClass?: string; scheduleTimeoutSeconds?: number } };
    mpiReplicaSpecs: { Launcher: Replica; Worker?: Replica };
  };
}
export interface PodGroup {
  apiVersion: "scheduling.volcano.sh/v1beta1";
  kind: "PodGroup";
  metadata: Metadata;
  spec: { minMember: number; queue?: string; priorityClassName?: string;
    minResources?: Record<string, string> };
}

// cert-manager.io/v1
export interface Issuer {
  apiVersion: "cert-manager.io/v1";
  kind: "Issuer";
  metadata: Metadata;
  spec: { selfSigned: Record<string, never> } | { ca: { secretName: string } };
}
export interface Certificate {
  apiVersion: "cert-manager.io/v1";
  kind: "Certificate";
  metadata: Metadata;
  spec: {
    secretName: string;
    isCA?: boolean;
    commonName?: string;
    duration?: string;
    renewBefore?: string;
    privateKey?: { algorithm?: "RSA" | "ECDSA" | "Ed25519"; size?: number; rotationPolicy?: "Never" | "Always" };
    usages?: ("digital signature" | "server auth" | "client auth" | "cert sign")[];
    dnsNames?: string[];
    issuerRef: { name: string; kind?: "Issuer" | "ClusterIssuer" };
  };
}
